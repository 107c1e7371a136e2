package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
)

// begun returns a plugin whose process was started, or not, and has not ended.
func begun(pid int) (*supervisor, *generation) {
	spec := Spec{Name: "p", StartTimeout: 7 * time.Second}
	s := newSupervisor(Options{Log: hclog.NewNullLogger(), OnState: func(State) {}}, spec, "")
	gen := newGeneration(&spec, &executable{path: "/p"}, newLogs(hclog.NewNullLogger(), nil, func(string) {}))
	gen.proc = &process{
		cmd: &exec.Cmd{Process: &os.Process{Pid: pid}}, started: pid != 0, done: make(chan struct{}),
		read: make(chan struct{}),
	}
	return s, gen
}

var errExited = errors.New("plugin exited before we could connect")

// TestLastWordsOfAPluginAreAwaited: its pipe ends a moment before it does, and its words come a moment later.
func TestLastWordsOfAPluginAreAwaited(t *testing.T) {
	for _, row := range []struct {
		name string
		pid  int
		err  error
		took time.Duration
		want string
	}{
		{"its pipe has ended", 42, errExited, 150 * time.Millisecond, "it ended before it began with a handshake"},
		{"it says nothing", 42, context.DeadlineExceeded, 0, "it said nothing for start_timeout (7s)"},
		{"it was not started", 0, errExited, 0, "it ended before it began with a handshake"},
		{"it speaks of another thing", 42, errors.New("some other reason"), 0, "some other reason"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, gen := begun(row.pid)
				go func() {
					time.Sleep(100 * time.Millisecond)
					close(gen.proc.done)
					time.Sleep(50 * time.Millisecond)
					gen.logs.take("my last words")
					close(gen.proc.read)
				}()
				from := time.Now()
				text := s.explain(gen, row.err).Error()
				if took := time.Since(from); took != row.took {
					t.Errorf("it took %v, want %v", took, row.took)
				}
				if !strings.Contains(text, row.want) || strings.Contains(text, "my last words") != (row.took > 0) {
					t.Errorf("error = %s", text)
				}
				synctest.Wait()
				time.Sleep(time.Second)
			})
		})
	}
}

func TestPluginThatWasNeverMadeIsExplained(t *testing.T) {
	s, gen := begun(0)
	gen.proc = nil
	if text := s.explain(gen, errExited).Error(); !strings.Contains(text, "it ended before it began") {
		t.Errorf("error = %s", text)
	}
}

// TestFailedHandshakesAreTold: in words, with what to do, and whether another try may help.
func TestFailedHandshakesAreTold(t *testing.T) {
	const incompatible = "Incompatible API version with plugin. Plugin version: 99, Client versions: [1]"
	for _, row := range []struct {
		name, err, line, want, hint string
		permanent                   bool
	}{
		{
			"no plugin", "Unrecognized remote plugin message: hello", "", "it is not a gatehost plugin",
			`name a plugin in plugins.p.path`, true,
		},
		{
			"a plugin that greets", "Unrecognized remote plugin message: hello", "stdout: hello",
			"it is not a gatehost plugin", "a plugin prints nothing to stdout before its handshake", true,
		},
		{"no protocol", incompatible, "", "it is not a gatehost plugin", "name a plugin", true},
		{
			"another protocol", incompatible, "I am odd", "it speaks another version of the plugin protocol",
			"upgrade the plugin", true,
		},
		{"a reason of the system", "no such device", "", "no such device", "start it by hand", false},
		{
			"an end", "Failed to read any lines from plugin's stdout", "", "it ended before it began", "start it by hand",
			false,
		},
		{
			"an end in the wrapper", "Failed to read any lines from plugin's stdout",
			"gatehost: cannot run the plugin: exec format error", "not a program of this platform",
			"install the build for this platform", true,
		},
		{
			"the same words of a plugin", "no such device", "gatehost: cannot run the plugin: exec format error",
			"no such device", "start it by hand", false,
		},
		{
			"an end in the wrapper for another reason", "Failed to read any lines from plugin's stdout",
			"gatehost: cannot run the plugin: permission denied", "it ended before it began", "start it by hand", false,
		},
		{
			"an end with its own words", "Failed to read any lines from plugin's stdout",
			"my child: exec format error", "it ended before it began", "start it by hand", false,
		},
	} {
		s, gen := begun(42)
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		gen.exe.file = f
		close(gen.proc.done)
		close(gen.proc.read)
		if row.line != "" {
			gen.logs.take(row.line)
		}
		err = s.explain(gen, errors.New(row.err))
		if !strings.Contains(err.Error(), row.want) || !strings.Contains(fault.HintOf(err), row.hint) ||
			isPermanent(err) != row.permanent {
			t.Errorf("%s: %v (hint %q), permanent %t", row.name, err, fault.HintOf(err), isPermanent(err))
		}
		greets := strings.Contains(fault.HintOf(err), "before its handshake")
		if want := row.name == "a plugin that greets"; greets != want {
			t.Errorf("%s: hint %q", row.name, fault.HintOf(err))
		}
		_ = f.Close()
	}
}

// TestOwnDeadlineIsToldApartFromThePlugins: both are "deadline exceeded".
func TestOwnDeadlineIsToldApartFromThePlugins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := fault.Wrap(fault.DeadlineExceeded, "my database is late", context.DeadlineExceeded)
		for _, row := range []struct {
			name string
			left time.Duration
			err  error
			want string
		}{
			{"ours, a moment early", 50 * time.Millisecond, late, "it did not answer within start_timeout (7s)"},
			{"the plugin's", 5 * time.Second, late, "my database is late"},
			{"another fault at the end of the time", 50 * time.Millisecond, errors.New("no disk"), "no disk"},
			{"ours", -1, late, "it did not answer within start_timeout (7s)"},
		} {
			s, gen := begun(42)
			ctx, cancel := context.WithTimeout(t.Context(), row.left)
			err := s.unintroduced(ctx, gen, "describe itself", row.err)
			if want := "it cannot describe itself: " + row.want; !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", row.name, err)
			}
			cancel()
		}
	})
}

// TestErrorsOfTheLibrariesAreExplainedAndNoOthers: a plugin's own errors have details.
func TestErrorsOfTheLibrariesAreExplainedAndNoOthers(t *testing.T) {
	const ours, theirs = "/gatehost.plugin.v1alpha1.DoctorService/Verify", "/plugin.GRPCController/Shutdown"
	detailed := fault.ToStatus(fault.New(fault.Unsupported, "I do not verify").WithHint("ask another"))
	for _, row := range []struct {
		name, method string
		err          error
		want         string // "": the same error
	}{
		{"no error", ours, nil, ""},
		{"no status", ours, errors.New("plain"), ""},
		{
			"not implemented", ours, status.Error(codes.Unimplemented, "unknown method"),
			`plugin "p" announces a doctor and does not serve Doctor.Verify`,
		},
		{"not implemented by go-plugin", theirs, status.Error(codes.Unimplemented, "unknown method"), ""},
		{"the plugin's own", ours, detailed, ""},
		{
			"too large", ours, status.Error(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 8)"),
			`plugin "p" answers Doctor.Verify by more than`,
		},
		{"exhausted", ours, status.Error(codes.ResourceExhausted, "no room"), ""},
		{"larger than max, and another code", ours, status.Error(codes.Internal, "larger than max"), ""},
	} {
		got := explainRaw("p", row.method, row.err)
		if row.want == "" {
			if !errors.Is(got, row.err) {
				t.Errorf("%s: %v became %v", row.name, row.err, got)
			}
			continue
		}
		if err := fault.FromStatus(got); !strings.Contains(err.Error(), row.want) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestProbesDirectoriesToWriteToAreAddedToASandboxOnly(t *testing.T) {
	for _, row := range []struct {
		shut  *sandbox.Spec
		write []string
		want  string
	}{
		{nil, []string{"/more"}, "<nil>"},
		{&sandbox.Spec{Write: []string{"/given"}}, nil, "[/given]"},
		{&sandbox.Spec{Write: []string{"/given"}}, []string{"/more"}, "[/given /more]"},
	} {
		p, err := NewProbe(Options{Log: hclog.NewNullLogger()}, Spec{Name: "p", Sandbox: row.shut})
		if err != nil {
			t.Fatal(err)
		}
		got := "<nil>"
		if shut := p.with(row.write).spec().Sandbox; shut != nil {
			got = fmt.Sprint(shut.Write)
		}
		if got != row.want || row.shut != nil && len(p.s.spec().Sandbox.Write) != 1 {
			t.Errorf("sandbox %v with %q: writes to %s, want %s", row.shut, row.write, got, row.want)
		}
	}
}
