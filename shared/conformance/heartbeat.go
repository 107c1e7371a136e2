package conformance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/launcher"
)

const idHeartbeat = "launcher/heartbeat"

// heartbeatEvery is how long a followed output may be silent.
const heartbeatEvery = 15 * time.Second

// pulse is the output of a silent program, which is followed beside the other checks, because it takes longer than they
// do.
type pulse struct {
	done chan struct{}
	err  error // once done is closed
	took time.Duration
	end  func()
}

// listen begins to listen, once.
func (rn *runner) listen(ctx context.Context) {
	if rn.beat != nil {
		return
	}
	rn.beat = &pulse{done: make(chan struct{}), end: func() {}}
	fail := func(err error) {
		rn.beat.err = err
		close(rn.beat.done)
	}
	r, err := rn.newRun("hold")
	if err != nil {
		fail(err)
		return
	}
	p, err := rn.own(ctx)
	if err != nil {
		fail(err)
		return
	}
	bound, cancel := context.WithTimeout(ctx, heartbeatEvery+slack)
	rn.beat.end = sync.OnceFunc(func() {
		cancel()
		<-rn.beat.done
		p.Close()
		r.end(ctx)
	})
	if _, err := r.launch(ctx, p); err != nil {
		fail(err)
		return
	}
	go func() {
		began := time.Now()
		err := client(p).Output(bound, launcher.OutputRequest{LaunchID: r.req.LaunchID, Follow: true},
			func(launcher.OutputItem) error { return errEnough })
		rn.beat.took = time.Since(began)
		switch {
		case errors.Is(err, errEnough):
			err = nil
		case bound.Err() != nil && ctx.Err() == nil:
			err = breach(
				"send a Heartbeat when there is nothing else: the host opens a stream again that says nothing for 30 s",
				"the output of a program that says nothing is silent for %v", heartbeatEvery+slack)
		}
		fail(err)
	}()
}

func launcherHeartbeat(ctx context.Context, rn *runner) error {
	rn.listen(ctx)
	select {
	case <-rn.beat.done:
	case <-ctx.Done():
	}
	err := rn.beat.err
	rn.beat.end()
	rn.noteDown("after %.1f s", rn.beat.took.Seconds())
	return err
}
