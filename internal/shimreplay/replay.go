//go:build unix

package shimreplay

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// Role is the first argument of a test binary that is to play: main must then call Main.
const Role = "role-replay"

// Options say what a player does besides what was recorded.
type Options struct {
	Recording string `json:"recording"` // its folder
	Runtime   string `json:"runtime"`   // for the socket
	Bundle    string `json:"bundle"`    // to make; its base is LaunchID
	// Future adds what a newer shim of the same version might say: fields, and kinds of items, that no host knows yet.
	Future bool `json:"future"`
	// Refuse answers as a shim that speaks none of our versions.
	Refuse bool `json:"refuse"`
}

// Command is the command that plays o with a test binary; it says "ready" and then lives until it is released.
func Command(o Options) (*exec.Cmd, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	//nolint:gosec,noctx // our own test binary; its caller ends it
	return exec.Command(self, Role, string(b)), nil
}

// Main plays what os.Args[2] says.
func Main() int {
	if err := play(); err != nil {
		fmt.Fprintln(os.Stdout, "cannot play:", err)
		return 1
	}
	return 0
}

type player struct {
	o         Options
	recording Recording
	state     shim.State // the identities of now
	gateway   *exec.Cmd

	mu       sync.Mutex // guards what follows
	at       string
	ended    chan struct{}
	released chan struct{}
}

func play() error {
	p := &player{at: Running, ended: make(chan struct{}), released: make(chan struct{})}
	if err := json.Unmarshal([]byte(os.Args[2]), &p.o); err != nil {
		return err
	}
	var err error
	if p.recording, err = Load(p.o.Recording); err != nil {
		return err
	}
	if err := p.begin(); err != nil {
		return err
	}
	defer func() {
		_ = p.gateway.Process.Kill()
		_ = p.gateway.Wait()
	}()
	l, err := net.Listen("unix", p.state.Socket) //nolint:noctx // bound at once
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintln(os.Stdout, "ready")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	<-p.released
	return nil
}

// begin makes the bundle, with us as the shim and a child as the gateway.
func (p *player) begin() error {
	if err := os.MkdirAll(p.o.Bundle, 0o700); err != nil {
		return err
	}
	lock, err := shim.Lock(p.o.Bundle)
	if err != nil || lock == nil {
		return errors.Join(errors.New("cannot lock the bundle"), err)
	}
	if p.state.Shim, err = process.Identify(os.Getpid()); err != nil {
		return err
	}
	if p.state.BootID, err = process.BootID(); err != nil {
		return err
	}
	p.state.LaunchID, p.state.Socket = LaunchID, shim.SocketPath(p.o.Runtime, p.o.Bundle)
	p.gateway = exec.Command("sleep", "600") //nolint:noctx // ended with us
	p.gateway.Env = []string{shim.EnvLaunchID + "=" + LaunchID, shim.EnvMark + "=" + p.state.Mark()}
	p.gateway.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.gateway.Start(); err != nil {
		return err
	}
	if p.state.Gateway, err = process.Identify(p.gateway.Process.Pid); err != nil {
		return err
	}
	return restoreBundle(filepath.Join(p.o.Recording, Running), p.o.Bundle, p.identity)
}

// identity puts the processes of now into a recorded state, and leaves all else.
func (p *player) identity(state []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(state, &fields); err != nil {
		return nil, err
	}
	for name, v := range map[string]any{
		"shim": p.state.Shim, "gateway": p.state.Gateway, "boot_id": p.state.BootID, "socket": p.state.Socket,
	} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		fields[name] = b
	}
	delete(fields, "cgroup") // of the recorded gateway
	return json.Marshal(fields)
}

// send writes a frame by the book of version 1, not with the code of today.
func (p *player) send(w io.Writer, f Frame) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(f.Header, &fields); err != nil {
		return err
	}
	header := []byte(f.Header)
	if state, ok := fields["state"]; ok {
		b, err := p.identity(state)
		if err != nil {
			return err
		}
		fields["state"] = b
		if header, err = json.Marshal(fields); err != nil {
			return err
		}
	}
	if p.o.Future {
		fields["of_the_future"] = json.RawMessage(`{"deep":[1,"two",null]}`)
		var err error
		if header, err = json.Marshal(fields); err != nil {
			return err
		}
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(header))) //nolint:gosec // short
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Data)))    //nolint:gosec // short
	_, err := w.Write(slices.Concat(b, header, f.Data))
	return err
}

func (p *player) serve(conn net.Conn) {
	defer conn.Close()
	var hello shim.Request
	if _, err := shim.ReadFrame(conn, &hello); err != nil {
		return
	}
	if p.o.Refuse || !slices.Contains(hello.Versions, 1) {
		_ = p.send(conn, p.recording.Refusal)
		return
	}
	if p.send(conn, p.recording.Hello[p.now()]) != nil {
		return
	}
	for {
		var req shim.Request
		if _, err := shim.ReadFrame(conn, &req); err != nil || !p.answer(conn, req) {
			return
		}
	}
}

func (p *player) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// answer plays what was recorded for a request; false ends the connection.
func (p *player) answer(conn net.Conn, req shim.Request) bool {
	op, at := req.Op, p.now()
	switch {
	case op == shim.OpOutput && req.Follow:
		op = "follow"
	case op == shim.OpSignal && req.Signal == "SIGNONE":
		op = "badsignal"
	case op == shim.OpStop && at == Running:
		p.end()
	}
	frames := p.recording.Answers[at][op]
	if len(frames) == 0 {
		frames = []Frame{p.recording.Unknown}
	}
	for i, f := range frames {
		if f.After {
			<-p.ended
		}
		if i == 1 && p.o.Future {
			if p.send(conn, Frame{Header: json.RawMessage(`{"k":"of-the-future"}`), Data: []byte("unknown")}) != nil {
				return false
			}
		}
		if p.send(conn, f) != nil {
			return false
		}
	}
	if op == shim.OpRelease && at == Ended {
		close(p.released)
	}
	return op != shim.OpOutput && op != "follow"
}

// end ends the gateway and leaves the bundle as the shim left it.
func (p *player) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == Ended {
		return
	}
	_ = p.gateway.Process.Signal(syscall.SIGTERM)
	_ = p.gateway.Wait()
	if err := restoreBundle(filepath.Join(p.o.Recording, Ended), p.o.Bundle, p.identity); err != nil {
		fmt.Fprintln(os.Stdout, "cannot play the end:", err)
		return
	}
	p.at = Ended
	close(p.ended)
}
