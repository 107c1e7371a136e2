//go:build linux

package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/internal/testreal"
)

const (
	// patience is how long something that should happen is waited for: only a hang needs it. Starts and repairs of a real
	// gateway are given realPatience: each takes most of a minute on a busy machine.
	patience     = 2 * time.Minute
	realPatience = 8 * time.Minute
	// diskSize is of the file system that is filled.
	diskSize = 192 << 20
)

// gateway is one gateway of the site.
type gateway struct {
	name      string
	port      int
	command   []string
	path      string // put in front of PATH
	misbehave string
	children  bool
	counts    bool   // it numbers its lines
	table     string // of the configuration, instead of what chaos wants
}

// site is one host with its gateways, in a directory that names all of its processes.
type site struct {
	t        *testing.T
	dir      string
	gateways []gateway
	disk     bool // the state directory is a file system of its own
	real     bool // one of the gateways is OpenClaw
	http     *http.Client

	mu         sync.Mutex // guards the rest
	host       *exec.Cmd
	exited     chan struct{} // closed when host has ended
	generation int           // hosts so far
	waiting    sync.WaitGroup
}

func newSite(t *testing.T, openclaw bool) *site {
	t.Helper()
	emulator := []string{filepath.Join(bin, "gateway-emulator")}
	gateways := []gateway{
		{name: "a", command: emulator, counts: true, misbehave: "count-lines=10"},
		{name: "b", command: emulator, counts: true, misbehave: "count-lines=25,sidecars=500"},
		{
			name: "c", command: emulator, counts: true, misbehave: "count-lines=25,slow-stop=600,slow-doctor=700",
			children: true,
		},
		{name: "d", command: emulator, misbehave: "slow-doctor=300,slow-listen=400"}, // says little: it outlives its shim
	}
	if openclaw {
		command, path := testreal.OpenClaw(t)
		gateways = append(gateways, gateway{name: "real", command: command, path: path[0]})
	}
	return newSiteOf(t, openclaw, gateways)
}

func newSiteOf(t *testing.T, openclaw bool, gateways []gateway) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "ghchaos") // short: sockets live under it
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, real: openclaw, gateways: gateways}
	s.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		},
		DisableKeepAlives: true, // hosts come and go
	}}
	for _, sub := range []string{"home", "run", "state"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("tmpfs", s.state(), "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize)); err != nil {
		t.Logf("full disk: not tried, no file system can be mounted here: %v", err)
	} else {
		s.disk = true
	}
	for i := range s.gateways {
		s.gateways[i].port = testhost.FreePort(t)
		if err := os.MkdirAll(s.gatewayDir(s.gateways[i].name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.configPath(), []byte(s.config()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.clean)
	return s
}

func (s *site) state() string                 { return filepath.Join(s.dir, "state") }
func (s *site) socket() string                { return filepath.Join(s.dir, "host.sock") }
func (s *site) configPath() string            { return filepath.Join(s.dir, "config.toml") }
func (s *site) logPath() string               { return filepath.Join(s.dir, "host.log") }
func (s *site) gatewayDir(name string) string { return filepath.Join(s.dir, "oc-"+name) }

func (s *site) patience() time.Duration {
	if s.real {
		return realPatience
	}
	return patience
}

func (s *site) counts(name string) bool {
	return slices.ContainsFunc(s.gateways, func(g gateway) bool { return g.name == name && g.counts })
}

// clean ends whatever a failed test left, each by its pid.
func (s *site) clean() {
	s.mu.Lock()
	host := s.host
	s.mu.Unlock()
	if host != nil {
		_ = host.Process.Kill()
	}
	s.waiting.Wait()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		left := s.processes()
		if len(left) == 0 {
			break
		}
		for _, p := range left {
			kill(p.pid, syscall.SIGKILL)
		}
		time.Sleep(50 * time.Millisecond) // a poll: the next round finds what these had started
	}
	if s.disk {
		if err := syscall.Unmount(s.state(), syscall.MNT_DETACH); err != nil {
			s.t.Errorf("cannot unmount: %v", err)
		}
	}
	_ = os.RemoveAll(s.dir)
}

func (s *site) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, `version = 1
state_dir = %q
plugin_dir = %q
[log]
level = "debug"
[control]
socket = %q
[plugins.utility]
path = "launcher-utility"
[plugins.doctor]
path = "doctor"
`, s.state(), filepath.Join(bin, "plugins"), s.socket())
	for _, g := range s.gateways {
		command, _ := json.Marshal(g.command)
		prepend := "[]"
		if g.path != "" {
			prepend = fmt.Sprintf("[%q]", g.path)
		}
		fmt.Fprintf(&b, `
[gateways.%[1]s]
port = %[2]d
launcher = "utility"
doctors = ["doctor"]
classifiers = ["doctor"]
on_host_exit = "keep"
[gateways.%[1]s.launch]
command = %[3]s
state_dir = %[4]q
path_prepend = %[5]s
output_max_size = "1MiB"
skip_channels = true
grace = "20s"
[gateways.%[1]s.launch.env]
CHAOS_GATEWAY = %[1]q
`, g.name, g.port, command, s.gatewayDir(g.name), prepend)
		if g.misbehave != "" {
			fmt.Fprintf(&b, "EMULATOR_TIME_SCALE = \"0.05\"\nEMULATOR_MISBEHAVE = %q\n", g.misbehave)
		}
		if g.children {
			fmt.Fprintf(&b, "EMULATOR_CHILDREN = \"1\"\n")
		}
		if g.table != "" {
			b.WriteString(g.table)
			continue
		}
		// More attempts than a killer's patience: the cap on fast ones is not what is tried here.
		fmt.Fprintf(&b, "[gateways.%s.reconnect]\nbase = \"200ms\"\nmax = \"2s\"\nattempts = 100\nstable_after = \"2s\"\n",
			g.name)
	}
	return b.String()
}

// startHost starts the next host. Its terminal is a file, so that no pipe of ours matters to it.
func (s *site) startHost() error {
	log, err := os.OpenFile(s.logPath(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	fmt.Fprintf(log, "==== host %d\n", s.generation)
	cmd := exec.Command(filepath.Join(bin, "gatehost"), "run", "--config", s.configPath())
	cmd.Env = []string{
		"HOME=" + filepath.Join(s.dir, "home"), "XDG_RUNTIME_DIR=" + filepath.Join(s.dir, "run"),
		"PATH=" + os.Getenv("PATH"), "NO_COLOR=1", "TMPDIR=" + os.TempDir(),
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.host, s.exited = cmd, exited
	s.waiting.Go(func() {
		_ = cmd.Wait()
		close(exited)
	})
	return nil
}

// running is the present host.
func (s *site) running() (pid, generation int, exited <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.host.Process.Pid, s.generation, s.exited
}

func (s *site) note(format string, args ...any) {
	log, err := os.OpenFile(s.logPath(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer log.Close()
	fmt.Fprintf(log, time.Now().UTC().Format("2006-01-02T15:04:05.000Z ")+"---- "+format+"\n", args...)
}

// logTail is the end of what the hosts said, without the numbered lines.
func (s *site) logTail(lines int) string {
	f, err := os.Open(s.logPath())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-4<<20), io.SeekStart)
	}
	data, _ := io.ReadAll(f)
	var kept []string
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, "] count ") {
			kept = append(kept, "    "+line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-lines):], "")
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

type gatewayStatus struct {
	Name       string   `json:"name"`
	State      string   `json:"state"`
	Phase      string   `json:"phase"`
	Ready      bool     `json:"ready"`
	Owner      string   `json:"owner"`
	PID        int      `json:"pid"`
	LaunchID   string   `json:"launchId"`
	BootID     string   `json:"bootId"`
	Adopted    bool     `json:"adopted"`
	Restarts   int      `json:"restarts"`
	Error      *failure `json:"error"`
	Conditions []struct {
		Code string `json:"code"`
	} `json:"conditions"`
}

type status struct {
	Host struct {
		PID int `json:"pid"`
	} `json:"host"`
	Gateways []gatewayStatus `json:"gateways"`
	Plugins  []struct {
		Name     string `json:"name"`
		State    string `json:"state"`
		PID      int    `json:"pid"`
		Restarts int    `json:"restarts"`
	} `json:"plugins"`
}

func (st status) gateway(name string) gatewayStatus {
	for _, g := range st.Gateways {
		if g.Name == name {
			return g
		}
	}
	return gatewayStatus{}
}

func (s *site) status() (st status, err error) {
	code, err := s.call(context.Background(), 10*time.Second, http.MethodGet, "/v1/status", nil, &st)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status: HTTP %d", code)
	}
	return st, err
}

// call asks the host. An error means that no answer came.
func (s *site) call(ctx context.Context, limit time.Duration, method, path string, body, into any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://gatehost"+path, reader)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			return 0, fmt.Errorf("%s %s: HTTP %d: %w: %.200s", method, path, resp.StatusCode, err, data)
		}
	}
	return resp.StatusCode, nil
}

// fill takes all that is free on the state directory's file system.
func (s *site) fill() (free func(), err error) {
	path := filepath.Join(s.state(), "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	for size := 1 << 20; size > 0; size /= 2 {
		block := make([]byte, size)
		for err == nil {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			break
		}
		err = nil
	}
	return func() {
		_ = f.Close()
		_ = os.Remove(path)
	}, err
}
