package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestUpgradeOfTheHostRestartsNothing: an old host is told to stop, a new version follows it. The gateway goes on, who
// reads events misses nothing, and a call that was under way is told to ask again.
func TestUpgradeOfTheHostRestartsNothing(t *testing.T) {
	older, newer := stamped(t, "1.0.0"), stamped(t, "1.1.0")
	s := newSite(t, emulator("count-lines=10,late-answers=20000"))
	socket := filepath.Join(s.dir, "host.sock")
	s.extra = fmt.Sprintf("[control]\nsocket = %q\n", socket)
	s.writeConfig(strings.Replace(s.config(), "[gateways.main]\n", "[gateways.main]\non_host_exit = \"keep\"\n", 1))
	s.startHostOf(older)
	before := s.awaitState("running")
	if got := s.hostVersion(); got != "1.0.0" {
		t.Fatalf("host is %s", got)
	}

	api := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	reader := follow(t, api)
	s.eventually("the reader has lines", func() (bool, string) { return reader.lines(before.LaunchID) > 20, "" })
	gap := watchGap(t, api)
	call := make(chan string, 1) // 1: the receiver may be gone
	go func() { call <- inFlight(api) }()
	time.Sleep(300 * time.Millisecond) // so that the call is with the gateway, which answers in 20 s

	old := s.exited
	if err := s.host.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-old:
	case <-time.After(patience):
		t.Fatal("the old host did not end")
	}
	s.startHostOf(newer)

	after := s.await("running, adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if got := s.hostVersion(); got != "1.1.0" || after.PID != before.PID || after.LaunchID != before.LaunchID ||
		after.Restarts != 0 {
		t.Errorf("host is %s\nbefore: %+v\nafter: %+v", got, before, after)
	}
	if got := <-call; got != "503 host_restarting retryable" {
		t.Errorf("the call under way got %q, want that it may ask the next host", got)
	}
	had := reader.lines(before.LaunchID)
	s.eventually("the reader goes on", func() (bool, string) { return reader.lines(before.LaunchID) > had+50, "" })
	for _, problem := range reader.stop(before.LaunchID) {
		t.Error(problem)
	}
	t.Logf("gap of the control API: %v from the last answer of the old host to the first of the new one; "+
		"the goal is less than 2 s", gap())
	s.must("stop", "main")
	s.shutdown()
}

// stamped builds a host of a version.
func stamped(t *testing.T, version string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "gatehost-"+version)
	stamp := "-X github.com/gatehost/gatehost/internal/version.stamped=" + version
	build := exec.Command("go", "build", "-ldflags", stamp, "-o", out, "../../cmd/host")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build a host: %v\n%s", err, text)
	}
	return out
}

// startHostOf starts a host of another program.
func (s *site) startHostOf(program string) {
	s.t.Helper()
	cmd := exec.Command(program, "run", "--config", s.configPath())
	cmd.Env, cmd.Dir = s.environ(), s.dir
	cmd.Stdout, cmd.Stderr = s.stderr, s.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	s.host, s.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
}

func (s *site) hostVersion() string {
	s.t.Helper()
	var st struct {
		Host struct {
			Version string `json:"version"`
		} `json:"host"`
	}
	if err := json.Unmarshal([]byte(s.must("status", "--json")), &st); err != nil {
		s.t.Fatal(err)
	}
	return st.Host.Version
}

// inFlight makes a call and tells its outcome.
func inFlight(api *http.Client) string {
	resp, err := api.Post("http://gatehost/v1/gateways/main/rpc", "application/json",
		strings.NewReader(`{"method": "health"}`))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	var p struct {
		Code      string `json:"code"`
		Retryable bool   `json:"retryable"`
	}
	if err := json.Unmarshal(data, &p); err != nil || p.Code == "" {
		return fmt.Sprintf("%d %s", resp.StatusCode, bytes.TrimSpace(data))
	}
	word := fmt.Sprintf("%d %s", resp.StatusCode, p.Code)
	if p.Retryable {
		word += " retryable"
	}
	return word
}

// watchGap asks all the time; what it returns is the longest time without an answer, and ends the asking.
func watchGap(t *testing.T, api *http.Client) func() time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	longest := make(chan time.Duration, 1) // 1: the receiver may be gone
	go func() {
		last, most := time.Now(), time.Duration(0)
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gatehost/healthz", nil)
			if err != nil {
				break
			}
			if resp, err := api.Do(req); err == nil {
				_ = resp.Body.Close()
				most, last = max(most, time.Since(last)), time.Now()
			}
			time.Sleep(5 * time.Millisecond) // a poll
		}
		longest <- most
	}()
	return func() time.Duration {
		cancel()
		return (<-longest).Round(time.Millisecond)
	}
}

// events reads the event stream over the ends of hosts, as a client that knows Last-Event-ID does.
type eventReader struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex // guards the rest
	last     uint64
	seen     map[string]map[int]int // by launch: how often each numbered line came
	problems []string
	streams  int
}

func follow(t *testing.T, api *http.Client) *eventReader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &eventReader{cancel: cancel, done: make(chan struct{}), seen: map[string]map[int]int{}}
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			r.stream(ctx, api)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond): // until the next host listens
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

func (r *eventReader) stream(ctx context.Context, api *http.Client) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gatehost/v1/events?since=0", nil)
	if err != nil {
		return
	}
	r.mu.Lock()
	if r.last > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatUint(r.last, 10))
	}
	r.mu.Unlock()
	resp, err := api.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	r.mu.Lock()
	r.streams++
	r.mu.Unlock()
	id, data := "", ""
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		text := lines.Text()
		switch {
		case strings.HasPrefix(text, "id:"):
			id = strings.TrimSpace(text[3:])
		case strings.HasPrefix(text, "data:"):
			data += strings.TrimSpace(text[5:])
		case text == "" && data != "":
			r.take(id, data)
			id, data = "", ""
		}
	}
}

func (r *eventReader) take(id, data string) {
	var e struct {
		Cursor uint64 `json:"cursor"`
		Type   string `json:"type"`
		Data   struct {
			LaunchID string `json:"launchId"`
			Text     string `json:"text"`
		} `json:"data"`
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		var other struct {
			Cursor uint64 `json:"cursor"`
			Type   string `json:"type"`
		}
		if err := json.Unmarshal([]byte(data), &other); err != nil {
			r.problems = append(r.problems, fmt.Sprintf("%v: %s", err, data))
			return
		}
		e.Cursor, e.Type = other.Cursor, other.Type
	}
	if e.Type == "events.dropped" || e.Cursor == 0 {
		r.problems = append(r.problems, "told of a loss: "+data)
		return
	}
	if id != strconv.FormatUint(e.Cursor, 10) || e.Cursor <= r.last {
		r.problems = append(r.problems, fmt.Sprintf("event %d with id %q after event %d", e.Cursor, id, r.last))
	}
	r.last = max(r.last, e.Cursor)
	var n int
	var launch string
	if _, err := fmt.Sscanf(e.Data.Text, "count %d of %s", &n, &launch); e.Type == "gateway.output" && err == nil {
		if r.seen[launch] == nil {
			r.seen[launch] = map[int]int{}
		}
		r.seen[launch][n]++
	}
}

// lines is how many numbered lines of a launch have come.
func (r *eventReader) lines(launch string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen[launch])
}

// stop ends the reading and says what was wrong with it.
func (r *eventReader) stop(launch string) []string {
	r.cancel()
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	most := 0
	for n, times := range r.seen[launch] {
		most = max(most, n)
		if times > 1 {
			r.problems = append(r.problems, fmt.Sprintf("line %d came %d times", n, times))
		}
	}
	// The last few may have been under way, the two pipes are read one beside the other.
	for n := 1; n < most-5; n++ {
		if r.seen[launch][n] == 0 {
			r.problems = append(r.problems, fmt.Sprintf("line %d of %d did not come", n, most))
		}
	}
	if r.streams < 2 {
		r.problems = append(r.problems, fmt.Sprintf("%d streams were read, want one of each host", r.streams))
	}
	return r.problems
}
