package reload

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

func TestReloadsGoOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewTurn()
		r.Open()
		var at []time.Duration
		began := time.Now()
		done := make(chan struct{})
		for range 3 {
			go func() {
				_, leave, err := r.Enter(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Second)
				at = append(at, time.Since(began)) // no other goroutine has the turn
				leave()
				done <- struct{}{}
			}()
		}
		for range 3 {
			<-done
		}
		if len(at) != 3 || at[2] != 3*time.Second {
			t.Errorf("ended after %v", at)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		_, leave, _ := r.Enter(t.Context())
		cancel(errors.New("the caller gave up"))
		if _, _, err := r.Enter(ctx); err == nil || err.Error() != "the caller gave up" {
			t.Errorf("error = %v", err)
		}
		leave()
	})
}

func TestHostThatStopsCutsTheReloadUnderWayAndWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewTurn()
		if _, _, err := r.Enter(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("before the host is up: %v", err)
		}
		r.Open()
		ctx, leave, err := r.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan error, 1)
		go func() {
			_, _, err := r.Enter(t.Context())
			waits <- err
		}()
		closed := make(chan struct{})
		go func() {
			r.Close()
			close(closed)
		}()
		<-ctx.Done()
		if p, ok := errors.AsType[*control.Problem](<-waits); !ok || p.Code != control.CodeHostRestarting {
			t.Errorf("a waiting caller gets %v", p)
		}
		synctest.Wait()
		select {
		case <-closed:
			t.Error("the host did not wait for the reload under way")
		default:
		}
		leave()
		<-closed
		if _, _, err := r.Enter(t.Context()); err == nil {
			t.Error("a reload of a host that has stopped")
		}
	})
}
