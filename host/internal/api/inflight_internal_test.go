package api

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCallsUnderWayAreDrainedThenCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c inflight
		c.drain(nil) // none is under way
		c = inflight{}
		for range 2 {
			if !c.begin() {
				t.Fatal("a call is refused while the host runs")
			}
		}
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			if !c.end() {
				t.Error("a call that ends is not told that the host stops")
			}
			time.Sleep(time.Second)
			c.end()
		}()
		c.drain(nil)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("drained after %v, want the end of the last call", took)
		}
		if c.begin() {
			t.Error("a new call is taken while the host stops")
		}
		c = inflight{}
		c.begin()
		began = time.Now()
		c.drain(nil)
		if took := time.Since(began); took != callDrain {
			t.Errorf("a call that does not end holds the stop for %v", took)
		}
		c = inflight{}
		c.begin()
		hurry := make(chan struct{})
		close(hurry)
		began = time.Now()
		c.drain(hurry)
		if took := time.Since(began); took != 0 {
			t.Errorf("a hurried stop waits %v", took)
		}
	})
}
