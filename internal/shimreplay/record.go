//go:build unix

package shimreplay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// Record makes a recording of the shim at shimPath in dir, with its sockets in a short folder of its own.
func Record(ctx context.Context, shimPath, dir string) error {
	place, err := os.MkdirTemp("", "gh")
	if err != nil {
		return err
	}
	defer os.RemoveAll(place)
	bundle := filepath.Join(place, "run", LaunchID)
	spec := shim.Spec{
		LaunchID: LaunchID, Cwd: "/", Socket: shim.SocketPath(place, bundle), OutputMaxBytes: outlog.MinSize,
		Argv: []string{
			"sh", "-c",
			fmt.Sprintf(`yes %s | head -n %d; echo %s; trap 'echo %s >&2; exit %d' TERM; while :; do sleep 0.05; done`,
				FloodLine, FloodLines, ReadyLine, LastLine, ExitCode),
		},
		Env:    []shim.EnvVar{{Name: "PATH", Value: "/usr/local/bin:/usr/bin:/bin"}},
		Labels: map[string]string{"gatehost.gateway": Gateway, "recorded": "yes"},
	}
	started, err := shim.Start(ctx, shim.StartOptions{ShimPath: shimPath, BundleDir: bundle, Spec: spec})
	if err != nil {
		return err
	}
	defer started.Client.Close()
	secret, err := shim.ReadSecret(bundle)
	if err != nil {
		return err
	}
	r := recorder{ctx: ctx, socket: spec.Socket, secret: string(secret), got: Recording{
		Hello: map[string]Frame{}, Answers: map[string]map[string][]Frame{Running: {}, Ended: {}},
	}}
	err = r.all(bundle, dir)
	if err != nil { // whatever was recorded, nothing stays
		_, stopErr := started.Client.Stop(context.WithoutCancel(ctx), 0)
		err = errors.Join(err, stopErr)
	}
	return errors.Join(err, started.Client.Release(context.WithoutCancel(ctx)))
}

type recorder struct {
	ctx    context.Context //nolint:containedctx // of one recording
	socket string
	secret string // of the bundle
	got    Recording
}

func (r *recorder) all(bundle, dir string) error {
	for { // until the flood is over: then the ring holds still
		frames, err := r.ask(Running, shim.Request{Op: shim.OpOutput}, nil)
		if err != nil {
			return err
		}
		if n := len(frames); n > 1 && len(frames[n-2].Data) >= len(ReadyLine)+1 &&
			string(frames[n-2].Data[len(frames[n-2].Data)-len(ReadyLine)-1:]) == ReadyLine+"\n" {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
	if err := r.simple(Running); err != nil {
		return err
	}
	if err := keepBundle(bundle, filepath.Join(dir, Running)); err != nil {
		return err
	}

	// A reader that follows, through a heartbeat and past the end.
	beaten, followed := make(chan struct{}), make(chan error, 1)
	stopping := false
	go func() {
		frames, err := r.ask(Running, shim.Request{Op: shim.OpOutput, Follow: true}, func(f *Frame) {
			var item shim.WireItem
			if json.Unmarshal(f.Header, &item) == nil && item.Kind == shim.ItemHeartbeat && !stopping {
				stopping = true
				close(beaten)
				return
			}
			f.After = stopping
		})
		r.got.Answers[Running]["follow"] = frames
		followed <- err
	}()
	select {
	case <-beaten:
	case err := <-followed:
		return errors.Join(errors.New("the output ended before a heartbeat"), err)
	}
	stop, err := r.ask(Running, shim.Request{Op: shim.OpStop, Grace: 30 * time.Second}, nil)
	if err != nil {
		return err
	}
	if err := <-followed; err != nil {
		return err
	}
	r.got.Answers[Running][shim.OpStop], r.got.Answers[Ended][shim.OpStop] = stop, stop
	if err := r.simple(Ended); err != nil {
		return err
	}
	r.got.Answers[Ended]["follow"], err = r.ask(Ended, shim.Request{Op: shim.OpOutput, Follow: true}, nil)
	if err != nil {
		return err
	}
	if err := keepBundle(bundle, filepath.Join(dir, Ended)); err != nil {
		return err
	}
	r.got.Answers[Ended][shim.OpRelease], err = r.ask(Ended, shim.Request{Op: shim.OpRelease}, nil)
	if err != nil {
		return err
	}
	return r.got.store(dir)
}

// simple records all that changes nothing.
func (r *recorder) simple(at string) error {
	for op, req := range map[string]shim.Request{
		shim.OpState: {Op: shim.OpState}, shim.OpAttach: {Op: shim.OpAttach}, shim.OpOutput: {Op: shim.OpOutput},
		shim.OpSignal: {Op: shim.OpSignal, Signal: "SIGCONT"}, "badsignal": {Op: shim.OpSignal, Signal: "SIGNONE"},
	} {
		frames, err := r.ask(at, req, nil)
		if err != nil {
			return err
		}
		r.got.Answers[at][op] = frames
	}
	if at != Running {
		return nil
	}
	release, err := r.ask(at, shim.Request{Op: shim.OpRelease}, nil) // refused
	if err != nil {
		return err
	}
	r.got.Answers[at][shim.OpRelease] = release
	unknown, err := r.ask(at, shim.Request{Op: "of-the-future"}, nil)
	if err != nil {
		return err
	}
	r.got.Unknown = unknown[0]
	r.got.Refusal, err = r.refusal()
	return err
}

func (r *recorder) dial() (net.Conn, error) {
	return (&net.Dialer{}).DialContext(r.ctx, "unix", r.socket)
}

func (r *recorder) refusal() (Frame, error) {
	conn, err := r.dial()
	if err != nil {
		return Frame{}, err
	}
	defer conn.Close()
	if err := shim.WriteFrame(conn, shim.Request{Op: shim.OpHello, Versions: []int{99}}, nil); err != nil {
		return Frame{}, err
	}
	return read(conn)
}

// ask shakes hands, sends one request and answers all frames that come for it.
func (r *recorder) ask(at string, req shim.Request, seen func(*Frame)) ([]Frame, error) {
	conn, err := r.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(r.ctx, func() { conn.Close() })
	defer stop()
	hi := shim.Request{Op: shim.OpHello, Versions: []int{shim.ProtocolVersion}, Secret: r.secret}
	if err := shim.WriteFrame(conn, hi, nil); err != nil {
		return nil, err
	}
	hello, err := read(conn)
	if err != nil {
		return nil, err
	}
	if !req.Follow {
		r.got.Hello[at] = hello
	}
	if err := shim.WriteFrame(conn, req, nil); err != nil {
		return nil, err
	}
	var frames []Frame
	for {
		f, err := read(conn)
		if err != nil {
			return nil, err
		}
		if seen != nil {
			seen(&f)
		}
		frames = append(frames, f)
		var item shim.WireItem
		if json.Unmarshal(f.Header, &item) != nil || item.Kind == shim.ItemEnd || req.Op != shim.OpOutput {
			return frames, nil
		}
	}
}

func read(conn net.Conn) (Frame, error) {
	var f Frame
	data, err := shim.ReadFrame(conn, &f.Header)
	if err != nil {
		return f, err
	}
	f.Data = append([]byte(nil), data...)
	return f, nil
}
