package journal

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
)

// TestDiskThatIsFullIsSaidOnceAndGoneOnWith puts /dev/full, whose writes fail as those of a full disk do, in the
// segment's place.
func TestDiskThatIsFullIsSaidOnceAndGoneOnWith(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var told []error
	j, _ := Open(t.TempDir(), Options{OnFault: func(err error) { told = append(told, err) }})
	defer j.Close()
	e := func(c uint64) []events.Event {
		return []events.Event{{Cursor: c, Time: time.Now(), Gateway: "main", Type: events.GatewayOutput}}
	}
	j.Append(e(1))
	s := j.series["gateway-main"]
	_ = s.file.Close()
	s.file = full
	j.Append(e(2))
	j.Append(e(3)) // not even tried
	if s := j.Stats(); s.Stored["main"] != 1 || s.Dropped["main"] != 2 || s.Fault == nil || len(told) != 1 {
		t.Errorf("stats %+v, told %v", s, told)
	}
	j.retry = time.Now() // its time has come
	j.Append(e(4))
	if s := j.Stats(); s.Stored["main"] != 2 || s.Fault != nil || len(told) != 2 || told[1] != nil {
		t.Errorf("stats %+v, told %v", s, told)
	}
	if got, err := j.Read(0, 10); err != nil || len(got) != 2 || got[0].Cursor != 1 || got[1].Cursor != 4 {
		t.Errorf("kept: %v, %v", got, err)
	}
}

// TestJournalWaitsWithADiskThatFailedUntilItMayWriteAgain: the room is for a launch.
func TestJournalWaitsWithADiskThatFailedUntilItMayWriteAgain(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	wait := errors.New("a launch uses it")
	asked := 0
	j, _ := Open(t.TempDir(), Options{Resume: func() error { asked++; return wait }})
	defer j.Close()
	e := func(c uint64) []events.Event {
		return []events.Event{{Cursor: c, Time: time.Now(), Gateway: "main", Type: events.GatewayOutput}}
	}
	j.Append(e(1))
	s := j.series["gateway-main"]
	_ = s.file.Close()
	s.file = full
	j.Append(e(2))
	j.retry = time.Now()
	j.Append(e(3))
	if s := j.Stats(); s.Stored["main"] != 1 || s.Dropped["main"] != 2 || s.Fault == nil || asked != 1 {
		t.Errorf("asked %d times, stats %+v, want event 3 dropped", asked, s)
	}
	j.retry, wait = time.Now(), nil
	j.Append(e(4))
	if s := j.Stats(); s.Stored["main"] != 2 || s.Fault != nil || asked != 2 {
		t.Errorf("asked %d times, stats %+v, want event 4 stored", asked, s)
	}
}
