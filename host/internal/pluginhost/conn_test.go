//go:build unix

package pluginhost_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestOutputGoesOnWhereItBroke: no line comes twice, none is missing, and there is one End, however the stream breaks.
func TestOutputGoesOnWhereItBroke(t *testing.T) {
	for _, how := range []string{"dies", "falls-silent"} {
		t.Run(how, func(t *testing.T) {
			timing := quick()
			timing.OutputSilence = time.Second
			h, _ := newHost(t, timing, testPlugin("launches"))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var got []uint64
			ends := 0
			err := h.Launcher("p").Output(ctx, launcher.OutputRequest{LaunchID: how, Follow: true},
				func(item launcher.OutputItem) error {
					switch item := item.(type) {
					case *launcher.LineBatch:
						for _, l := range item.Lines {
							got = append(got, l.Cursor)
						}
					case *launcher.End:
						ends++
					case *launcher.Gap, *launcher.Heartbeat:
					}
					return nil
				})
			if err != nil || ends != 1 || len(got) != 30 {
				t.Fatalf("error = %v, %d ends, lines %v", err, ends, got)
			}
			for i, c := range got {
				if c != uint64(i+1) {
					t.Fatalf("line %d has cursor %d", i+1, c)
				}
			}
		})
	}
}

func TestFailingSinkEndsTheOutput(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin("launches"))
	full := errors.New("full")
	err := h.Launcher("p").Output(t.Context(), launcher.OutputRequest{LaunchID: "x", Follow: true},
		func(launcher.OutputItem) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("error = %v", err)
	}
}

func TestCallThatIsNotIdempotentIsMadeOnce(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin("launches"))
	if err := h.Launcher("p").Signal(t.Context(), "x", "SIGTERM"); !errors.Is(err, fault.ErrPluginGone) {
		t.Errorf("error = %v, want plugin_gone", err)
	}
	pid(t, h)
	if calls, err := os.ReadFile(filepath.Join(dir, "data", "p", "signal")); err != nil || len(calls) != 1 {
		t.Errorf("called %d times, %v", len(calls), err)
	}
}

// The error of a plugin that missed a deadline of its own is passed on; only the host's own deadline is "no answer".
func TestFaultOfAPluginKeepsItsHintWhateverItsCode(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin("launches"))
	_, err := h.Launcher("p").Inspect(t.Context(), "x")
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != fault.DeadlineExceeded || f.Hint != "look at pid 7" || f.Details["pid"] != "7" {
		t.Errorf("error = %+v", err)
	}
}

func TestCallsAreToldWithTheirOutcome(t *testing.T) {
	var mu sync.Mutex
	told := map[string]error{}
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.NewNullLogger(), PluginDir: pluginDir, DataDir: filepath.Join(dir, "d"),
		RunDir: filepath.Join(dir, "run"), RuntimeDir: filepath.Join(dir, "r"), Timing: quick(),
		OnCall: func(c pluginhost.Call) {
			mu.Lock()
			defer mu.Unlock()
			if c.Plugin != "p" || c.Took <= 0 || c.Stream != (c.Method == "Launcher.Output") {
				t.Errorf("call = %+v", c)
			}
			told[c.Method] = c.Err
		},
	})
	if err := h.Add(testPlugin("launches")); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context())
	defer h.Close()
	pid(t, h)
	_, _ = h.Launcher("p").List(t.Context(), "main")
	_, failed := h.Launcher("p").Inspect(t.Context(), "x")
	full := errors.New("full")
	_ = h.Launcher("p").Output(t.Context(), launcher.OutputRequest{LaunchID: "x"},
		func(launcher.OutputItem) error { return full })
	mu.Lock()
	defer mu.Unlock()
	// and the one that told the pid
	if _, ok := told["Launcher.List"]; !ok || failed == nil || told["Launcher.Inspect"] == nil || len(told) != 4 {
		t.Errorf("told = %v", told)
	}
}

// TestCallsAreToldAsTheirClientsJudgeThem: only a client knows that an answer violates the contract, and where a batch
// ends.
func TestCallsAreToldAsTheirClientsJudgeThem(t *testing.T) {
	calls := make(chan pluginhost.Call, 16) // more than the calls that follow
	liar, reader := testPlugin("lies"), testPlugin("misjudges")
	liar.Name, reader.Name = "liar", "reader"
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.NewNullLogger(), PluginDir: pluginDir, DataDir: t.TempDir(), RunDir: t.TempDir(),
		RuntimeDir: shortDir(t), Timing: quick(),
		OnCall: func(c pluginhost.Call) { calls <- c },
	})
	for _, spec := range []pluginhost.Spec{liar, reader} {
		if err := h.Add(spec); err != nil {
			t.Fatal(err)
		}
	}
	h.Start(t.Context())
	defer h.Close()
	_, _ = h.Launcher("liar").Recover(t.Context(), "this")
	_ = h.Launcher("liar").Output(t.Context(), launcher.OutputRequest{LaunchID: "goes-back", Follow: true},
		func(launcher.OutputItem) error { return nil })
	_, _ = h.Launcher("liar").Inspect(t.Context(), "fine")
	stream, err := h.Classifier("reader").Open(t.Context(), plugin.GatewayFacts{Name: "main"}, "launch")
	if err != nil {
		t.Fatal(err)
	}
	for seq, text := range []string{"a", "b", "nonsense"} {
		_, _ = stream.Classify(t.Context(), []classifier.NumberedLine{numbered(uint64(seq+1), text)})
	}
	_ = stream.Close()
	close(calls)
	var told []string
	for c := range calls {
		told = append(told, c.Method+" "+string(fault.CodeOf(c.Err)))
		if c.Took <= 0 || c.Took > patience {
			t.Errorf("%s took %v", c.Method, c.Took)
		}
	}
	want := []string{
		"Launcher.Recover internal", "Launcher.Output internal", "Launcher.Inspect ",
		"Classifier.Classify ", "Classifier.Classify ", "Classifier.Classify internal",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestOperatorsCallTimeoutIsKept(t *testing.T) {
	spec := testPlugin()
	spec.CallTimeout = 300 * time.Millisecond
	h, _ := newHost(t, quick(), spec)
	p := pid(t, h)
	_, err := ask(t, h, "hang")
	if !errors.Is(err, fault.ErrDeadlineExceeded) ||
		!strings.Contains(err.Error(), "did not answer Doctor.Diagnose in 300ms") {
		t.Errorf("error = %v", err)
	}
	if pid(t, h) != p {
		t.Error("a slow call cost the plugin its life")
	}
	// a caller's own deadline is told in the same words
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = h.Doctor("p").Diagnose(ctx, doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: "hang"}})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer Doctor.Diagnose in") ||
		strings.Contains(err.Error(), "context") || fault.HintOf(err) == "" {
		t.Errorf("error = %v, hint %q", err, fault.HintOf(err))
	}
}

func TestClassifierStreamBreaksWithItsProcessAndANewOneWorks(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin("classifies"))
	classify := func(s classifier.Stream) (int, error) {
		v, err := s.Classify(t.Context(),
			[]classifier.NumberedLine{{Seq: 1, Line: plugin.Line{Cursor: 1, Stream: plugin.Stderr, Text: "x"}}})
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(v[0].Text)
	}
	open := func() (classifier.Stream, error) {
		return h.Classifier("p").Open(t.Context(), plugin.GatewayFacts{Name: "main"}, "launch")
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	first, err := classify(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := testhost.Signal(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	poll(t, "the stream to break", func() bool { _, err := classify(s); return err != nil })
	poll(t, "another process", func() bool {
		again, err := open()
		if err != nil { // the dying process was still the current one
			return false
		}
		defer func() { _ = again.Close() }()
		second, err := classify(again)
		return err == nil && second != first
	})
}

func TestWordsOfAPluginReachTheLogWithTheirLevels(t *testing.T) {
	var out lockedBuffer
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Warn}), PluginDir: pluginDir,
		DataDir:    filepath.Join(dir, "d"),
		RuntimeDir: filepath.Join(dir, "r"), Timing: quick(),
	})
	if err := h.Add(testPlugin()); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context())
	defer h.Close()
	if _, err := ask(t, h, "talks"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"[ERROR] plugin.p: a planted log line: answer=42", "planted words on stderr",
		"planted words on stdout",
	} {
		poll(t, want, func() bool { return strings.Contains(out.String(), want) })
	}
}

type lockedBuffer struct {
	mu sync.Mutex // guards buf
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// An idle plugin has nothing to finish: it need not use the two seconds that calls get. One quick close of five proves
// it; a busy machine may slow down the others.
func TestIdlePluginEndsAtOnceWhenItIsClosed(t *testing.T) {
	var took time.Duration
	for range 5 {
		h, _ := newHost(t, quick(), testPlugin())
		pid(t, h)
		began := time.Now()
		h.Close()
		if took = time.Since(began); took < 1500*time.Millisecond {
			return
		}
	}
	t.Errorf("it took %v", took)
}

func TestCloseLeavesNoGoroutineAndNoProcess(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	before := goleak.IgnoreCurrent() // newHost's supervisor among them; its generations start and end below
	killed := pid(t, h)
	_ = testhost.Signal(killed, syscall.SIGKILL)
	_ = pid(t, h)
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	poll(t, "the restart", func() bool { return h.Plugins()[0].Restarts == 2 })
	last := pid(t, h)
	h.Close()
	if err := testhost.Signal(last, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the plugin lives: %v", err)
	}
	goleak.VerifyNone(t, before)
}

// TestCallsMeetAReplacementAtAnyMoment: at any moment a call succeeds, or says that the plugin ended twice during it;
// it never claims to have been cancelled.
func TestCallsMeetAReplacementAtAnyMoment(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	pid(t, h)
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := ask(t, h, ""); err != nil && !errors.Is(err, fault.ErrPluginGone) {
					t.Errorf("error = %v", err)
					return
				}
			}
		})
	}
	for range 15 {
		before := h.Plugins()[0].Restarts
		if err := h.Restart(t.Context(), "p"); err != nil {
			t.Error(err)
		}
		poll(t, "the replacement", func() bool { return h.Plugins()[0].Restarts > before })
	}
	close(stop)
	callers.Wait()
}

func TestStateTellsMemoryAndVersionAndChangesAreReported(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.NewNullLogger(), PluginDir: pluginDir, DataDir: filepath.Join(dir, "d"),
		RuntimeDir: filepath.Join(dir, "r"), Timing: quick(),
		OnState: func(s pluginhost.State) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, s.State)
		},
	})
	if err := h.Add(testPlugin()); err != nil {
		t.Fatal(err)
	}
	if err := h.Add(testPlugin()); err == nil {
		t.Error("a second plugin of the same name was taken")
	}
	if err := h.Add(pluginhost.Spec{Name: "../x"}); err == nil {
		t.Error("a path was taken for a name")
	}
	h.Start(t.Context())
	pid(t, h)
	if rss := h.RSS("p"); rss < 1<<20 {
		t.Errorf("rss = %d", rss)
	}
	if h.RSS("unknown") != 0 {
		t.Error("an unknown plugin has memory")
	}
	h.Close()
	if h.RSS("p") != 0 {
		t.Error("a stopped plugin has memory")
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(seen, " "); got != "starting running stopped" {
		t.Errorf("states = %s", got)
	}
}

func TestTooLongRuntimeDirectoryIsSaidBeforeTheStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.NewNullLogger(), PluginDir: pluginDir, DataDir: t.TempDir(),
		RuntimeDir: dir, Timing: quick(),
	})
	if err := h.Add(testPlugin()); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context())
	defer h.Close()
	if s := awaitState(t, h, pluginhost.Failed); !strings.Contains(s.Err.Error(), "at most 103 fit") ||
		fault.HintOf(s.Err) == "" {
		t.Errorf("error = %v", s.Err)
	}
}
