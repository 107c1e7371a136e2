package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/host/internal/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func publish(h *events.Hub, n int, typ events.Type) {
	for i := range n {
		h.Publish(events.Event{Type: typ, Data: i})
	}
}

// drain reads what there is.
func drain(s *events.Subscription) []uint64 {
	var got []uint64
	for e, ok := s.TryNext(); ok; e, ok = s.TryNext() {
		got = append(got, e.Cursor)
	}
	return got
}

func TestCursorsHaveNoHolesAndResumeWithoutAGap(t *testing.T) {
	h := events.NewHub(events.Options{First: 100})
	publish(h, 5, events.GatewayState)
	s := h.Subscribe(102)
	if got := drain(s); len(got) != 2 || got[0] != 103 || got[1] != 104 || s.Dropped() != 0 {
		t.Errorf("after 102: %v, dropped %d", got, s.Dropped())
	}
	if got := drain(h.Subscribe(0)); len(got) != 5 {
		t.Errorf("all = %v", got)
	}
	if got := drain(h.Subscribe(h.Last())); got != nil {
		t.Errorf("to come = %v", got)
	}
}

func TestReaderThatFallsBehindIsToldHowManyItLost(t *testing.T) {
	h := events.NewHub(events.Options{Keep: 10, First: 1})
	s := h.Subscribe(0)
	publish(h, 3, events.GatewayState)
	drain(s)
	publish(h, 25, events.GatewayState)
	if got := drain(s); len(got) != 10 || s.Dropped() != 15 {
		t.Errorf("got %d events, dropped %d, want 10 and 15", len(got), s.Dropped())
	}
	late := h.Subscribe(0)
	if drain(late); late.Dropped() != 0 {
		t.Errorf("a reader that asked for what is kept was told of %d lost", late.Dropped())
	}
}

func TestFloodOfOutputDoesNotWashAwayStates(t *testing.T) {
	h := events.NewHub(events.Options{Keep: 10, First: 1})
	publish(h, 1, events.GatewayState)
	publish(h, 1000, events.GatewayOutput)
	publish(h, 1, events.GatewayState)
	s := h.Subscribe(0)
	got := drain(s)
	if len(got) != 12 || got[0] != 1 || got[11] != 1002 {
		t.Errorf("got %v", got)
	}
	if s.Dropped() != 990 {
		t.Errorf("dropped %d, want 990", s.Dropped())
	}
}

func TestMemoryIsBoundedByBytes(t *testing.T) {
	h := events.NewHub(events.Options{KeepBytes: 10 << 10, First: 1})
	for range 100 {
		h.Publish(events.Event{Type: events.GatewayEvent, Data: json.RawMessage(make([]byte, 2<<10))})
	}
	if got := drain(h.Subscribe(0)); len(got) != 4 {
		t.Errorf("%d events of 2.5 KiB are kept in 10 KiB, want 4", len(got))
	}
	h.Publish(events.Event{Type: events.GatewayEvent, Data: json.RawMessage(make([]byte, 1<<20))})
	if got := drain(h.Subscribe(0)); len(got) != 1 || got[0] != 101 {
		t.Errorf("after one that is larger than all: %v", got)
	}
}

func TestCursorOfAnEarlierHostBeginsAtThisOne(t *testing.T) {
	h := events.NewHub(events.Options{First: 1000})
	publish(h, 3, events.GatewayState)
	s := h.Subscribe(500)
	if got := drain(s); len(got) != 3 || !s.Reset() || s.Dropped() != 0 {
		t.Errorf("got %v, reset %t, dropped %d", got, s.Reset(), s.Dropped())
	}
	ahead := h.Subscribe(9999) // a clock that was set back
	if got := drain(ahead); got != nil {
		t.Errorf("from the future: %v", got)
	}
	publish(h, 1, events.GatewayState)
	if got := drain(ahead); len(got) != 1 {
		t.Errorf("a reader with a cursor from the future gets nothing new: %v", got)
	}
}

func TestNextWaitsAndEndsWithTheHubOrTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := events.NewHub(events.Options{})
		s := h.Subscribe(h.Last())
		go func() {
			time.Sleep(time.Hour)
			h.Publish(events.Event{Type: events.HostStarted})
			h.Close()
		}()
		began := time.Now()
		e, err := s.Next(t.Context())
		if err != nil || e.Type != events.HostStarted || time.Since(began) != time.Hour {
			t.Errorf("%+v, %v after %v", e, err, time.Since(began))
		}
		if _, err := s.Next(t.Context()); !errors.Is(err, events.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if h.Publish(events.Event{}) != 0 {
			t.Error("a closed hub takes events")
		}
		open := events.NewHub(events.Options{})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("enough"))
		defer cancel()
		if _, err := open.Subscribe(0).Next(ctx); err == nil || err.Error() != "enough" {
			t.Errorf("with a deadline: %v", err)
		}
	})
}

func TestManyWritersAndReadersSeeOneOrder(t *testing.T) {
	const writers, each = 8, 500
	h := events.NewHub(events.Options{First: 1})
	var readers, writing sync.WaitGroup
	for range 4 {
		s := h.Subscribe(0)
		readers.Go(func() {
			last, n := uint64(0), uint64(0)
			for {
				e, err := s.Next(context.Background())
				if err != nil {
					break
				}
				if e.Cursor <= last {
					t.Errorf("cursor %d after %d", e.Cursor, last)
				}
				last, n = e.Cursor, n+1
			}
			if n+s.Dropped() != writers*each {
				t.Errorf("read %d, dropped %d, want %d in all", n, s.Dropped(), writers*each)
			}
		})
	}
	for range writers {
		writing.Go(func() { publish(h, each, events.GatewayState) })
	}
	writing.Wait()
	h.Close()
	readers.Wait()
}
