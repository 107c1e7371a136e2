package pluginkit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wiretest"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/pluginkit/plugintest"
	"github.com/gatehost/gatehost/shared/unloader"
)

const patience = 60 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv("PLUGINKIT_TEST_SERVE") != "" { // this process is the plugin
		pluginkit.Serve(pluginkit.Plugin{Name: "kit-test", Version: "1.0.0", Doctor: &envDoctor{}})
	}
	os.Exit(m.Run())
}

func open(t *testing.T, p pluginkit.Plugin) *plugintest.Conn {
	t.Helper()
	conn, err := plugintest.Dial(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestDescribeListsExactlyTheKindsThatAreServed(t *testing.T) {
	p := pluginkit.Plugin{
		Name: "x", Version: "1.2.3", Homepage: "h", WantedGrants: []string{plugin.GrantGatewayConfig},
		ConfigFields: []plugin.ConfigField{{Path: "a.b", Type: "integer", Required: true, DefaultJSON: "1", Doc: "d"}},
		Unloader:     &unloader.Fake{}, Classifier: &classifier.Fake{},
	}
	got, err := pluginkit.NewClient(open(t, p)).Describe(t.Context(), plugin.HostInfo{
		Version: "devel", OS: "linux",
		Arch: "amd64",
	})
	if err != nil || !reflect.DeepEqual(got, p.Info()) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, p.Info())
	}
	if got.Serves(plugin.KindDoctor) || !got.Serves(plugin.KindUnloader) || !got.Serves(plugin.KindClassifier) {
		t.Errorf("services = %+v", got.Services)
	}
}

// TestDoctorThatVerifiesAnnouncesIt: one that does not announces nothing, and says unsupported all the same.
func TestDoctorThatVerifiesAnnouncesIt(t *testing.T) {
	verifier := &doctor.FakeVerifier{
		Fake:         doctor.Fake{Findings: []doctor.Finding{{Code: "x", Text: "x"}}},
		Verification: doctor.Verification{Outcome: doctor.OutcomeHelped},
	}
	for _, row := range []struct {
		doctor       doctor.Doctor
		capabilities []string
	}{{verifier, []string{plugin.CapabilityVerify}}, {&verifier.Fake, nil}} {
		conn := open(t, pluginkit.Plugin{Name: "x", Doctor: row.doctor, Classifier: &classifier.Fake{}})
		info, err := pluginkit.NewClient(conn).Describe(t.Context(), plugin.HostInfo{})
		want := []plugin.ServiceInfo{
			{Kind: plugin.KindDoctor, MinVersion: 1, MaxVersion: 1, Capabilities: row.capabilities},
			{Kind: plugin.KindClassifier, MinVersion: 1, MaxVersion: 1},
		}
		if err != nil || !reflect.DeepEqual(info.Services, want) {
			t.Errorf("services = %+v, %v; want %+v", info.Services, err, want)
		}
		c := doctor.NewClient(conn)
		if d, err := c.Diagnose(t.Context(), doctor.DiagnoseRequest{}); err != nil || len(d.Findings) != 1 {
			t.Errorf("diagnosis = %+v, %v", d, err)
		}
		v, err := c.Verify(t.Context(), doctor.VerifyRequest{Finding: doctor.Finding{Code: "x"}})
		if row.capabilities == nil {
			if !errors.Is(err, fault.ErrUnsupported) {
				t.Errorf("a doctor that does not verify says %+v, %v", v, err)
			}
		} else if err != nil || v.Outcome != doctor.OutcomeHelped || len(verifier.Verified()) != 1 {
			t.Errorf("verification = %+v, %v", v, err)
		}
	}
}

func TestConfigureKeepsEveryField(t *testing.T) {
	var asked plugin.ConfigureRequest
	var answer []plugin.Diagnostic
	c := pluginkit.NewClient(open(t, pluginkit.Plugin{
		Name: "x", Doctor: &doctor.Fake{},
		Configure: func(_ context.Context, r plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
			asked = r
			return answer, nil
		},
	}))
	ctx := t.Context()
	rules := wiretest.Rules{"plugin.Severity": func(t *rapid.T) any { return rapid.IntRange(1, 3).Draw(t, "severity") }}
	rapid.Check(t, func(t *rapid.T) {
		req := wiretest.Draw[plugin.ConfigureRequest](t, rules)
		answer = wiretest.Draw[[]plugin.Diagnostic](t, rules)
		got, err := c.Configure(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Same(t, "the table", asked, req)
		wiretest.Same(t, "the diagnostics", got, answer)
	})
}

func TestPluginWithoutATableRefusesKeys(t *testing.T) {
	c := pluginkit.NewClient(open(t, pluginkit.Plugin{Name: "x", Doctor: &doctor.Fake{}}))
	for table, want := range map[string]int{`{}`: 0, ``: 0, `{"a": 1, "b": 2}`: 2} {
		if got, err := c.Configure(t.Context(), plugin.ConfigureRequest{Config: []byte(table)}); err != nil ||
			len(got) != want {
			t.Errorf("%s: %v, %v", table, got, err)
		}
	}
}

type panicky struct{ doctor.Fake }

func (*panicky) Diagnose(context.Context, doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	panic("planted")
}

func (*panicky) Repair(
	_ context.Context, _ doctor.RepairRequest, progress func(doctor.Progress),
) (doctor.RepairResult, error) {
	progress(doctor.Progress{Text: "x"})
	panic("planted")
}

func TestPanicsBecomeErrorsInCallsAndStreams(t *testing.T) {
	c := doctor.NewClient(open(t, pluginkit.Plugin{Name: "x", Doctor: &panicky{}}))
	_, err := c.Diagnose(t.Context(), doctor.DiagnoseRequest{})
	_, err2 := c.Repair(t.Context(), doctor.RepairRequest{Finding: doctor.Finding{Code: "x"}}, nil)
	for _, err := range []error{err, err2} {
		if !errors.Is(err, fault.ErrInternal) || !strings.Contains(err.Error(), "panic: planted") {
			t.Errorf("error = %v", err)
		}
	}
}

func TestCallsEndWhenTheHostGoes(t *testing.T) {
	l := &launcher.Fake{}
	if _, err := l.Launch(t.Context(), launcher.LaunchRequest{LaunchID: "x"}); err != nil {
		t.Fatal(err)
	}
	conn := open(t, pluginkit.Plugin{Name: "x", Launcher: l, Doctor: &doctor.Fake{Blocks: make(chan struct{})}})
	errs := make(chan error, 2)
	go func() {
		_, err := doctor.NewClient(conn).Diagnose(t.Context(), doctor.DiagnoseRequest{})
		errs <- err
	}()
	go func() {
		errs <- launcher.NewClient(conn).Output(t.Context(), launcher.OutputRequest{LaunchID: "x", Follow: true},
			func(launcher.OutputItem) error { return nil })
	}()
	conn.HostGoes()
	for range 2 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
	}
}

func TestDecodeConfigTellsAllFaultsAtOnce(t *testing.T) {
	type rule struct {
		Pattern string        `json:"pattern"`
		Wait    time.Duration `json:"wait"`
	}
	type table struct {
		Level  int             `json:"level"`
		Rules  []rule          `json:"rules"`
		Extra  map[string]rule `json:"extra"`
		At     time.Time       `json:"at"`
		Hidden string          `json:"-"`
	}
	defaults := table{Level: 7, Hidden: "kept"}
	got, faults := pluginkit.DecodeConfig([]byte(`{"rules": [{"pattern": "x"}], "at": "2026-01-02T03:04:05Z"}`),
		defaults)
	if len(faults) != 0 || got.Level != 7 || got.Rules[0].Pattern != "x" || got.Hidden != "kept" ||
		got.At.Year() != 2026 {
		t.Errorf("got %+v, %v", got, faults)
	}
	got, faults = pluginkit.DecodeConfig([]byte(`{
		"levle": 1, "level": "high", "Hidden": "x", "at": "tomorrow",
		"rules": [{"pattern": "ok"}, {"pattern": 5}, {"patern": "x"}, 9], "extra": {"one": {"wait": true}}
	}`), defaults)
	var paths []string
	for _, f := range faults {
		paths = append(paths, f.Path)
		if f.Severity != plugin.SeverityError || f.Message == "" {
			t.Errorf("diagnostic = %+v", f)
		}
	}
	want := []string{"Hidden", "at", "extra.one.wait", "level", "levle", "rules.1.pattern", "rules.2.patern", "rules.3"}
	if !reflect.DeepEqual(paths, want) || !reflect.DeepEqual(got, defaults) {
		t.Errorf("paths = %q\nwant    %q\nvalue = %+v", paths, want, got)
	}
	for _, text := range []string{`[]`, `"x"`, `{"level": 1} trailing`, `{`, `7`} {
		if _, faults := pluginkit.DecodeConfig([]byte(text), defaults); len(faults) != 1 {
			t.Errorf("%s: %v", text, faults)
		}
	}
}

func FuzzDecodeConfigNeverPanics(f *testing.F) {
	f.Add([]byte(`{"a": [{"b": null}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		type inner struct {
			B *int `json:"b"`
		}
		_, _ = pluginkit.DecodeConfig(raw, struct {
			A []inner        `json:"a"`
			M map[string]any `json:"m"`
		}{})
	})
}

// plugin is this test binary as a plugin, its stdin a pipe.
func pluginProcess(t *testing.T, env ...string) (*exec.Cmd, func() error, *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), append(env, "PLUGINKIT_TEST_SERVE=1")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stderr = &out
	return cmd, in.Close, &out
}

func TestStartedByHandItSaysWhatItIs(t *testing.T) {
	cmd, _, text := pluginProcess(t)
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("error = %v", err)
	}
	for _, want := range []string{"kit-test 1.0.0", "plugin of gatehost", "[plugins.kit-test]", "--describe"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it says %q, want %q", text, want)
		}
	}
}

func TestPluginIgnoresSignalsAndEndsWithItsDeathPipe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such signals on windows")
	}
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sockets := filepath.Join(dir, "plugin-dir1")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd, closePipe, text := pluginProcess(t, pluginkit.CookieKey+"="+pluginkit.CookieValue,
		"PLUGIN_UNIX_SOCKET_DIR="+sockets)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	handshake := make([]byte, 1)
	if _, err := out.Read(handshake); err != nil || handshake[0] != '1' { // from here on it serves, and ignores signals
		t.Fatalf("handshake = %q, %v; %s", handshake, err, text)
	}
	for _, s := range ignoredSignals() {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("a signal ended it: %v", err)
	case <-time.After(300 * time.Millisecond): // a negative: it can only be waited for
	}
	if err := closePipe(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v: %s", err, text)
		}
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		t.Error("it lives on without its host")
	}
	if _, err := os.Stat(sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket directory is left: %v", err)
	}
}

func TestCommandGivesItsChildNothingOfThePlugins(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	var out bytes.Buffer
	cmd := pluginkit.Command(t.Context(), "/bin/sh", "-c",
		"readlink /proc/$$/fd/0 /proc/$$/fd/2; readlink /proc/$$/fd/1 >&2")
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "/dev/null\n/dev/null\n" {
		t.Errorf("stdin and stderr are %q", got)
	}
}

func TestCancelledCommandEndsWithItsChildrenAndWaitReturns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process groups on windows")
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := firstWrite{done: make(chan struct{})}
	cmd := pluginkit.Command(ctx, "/bin/sh", "-c", "sleep 600 & echo ready; wait")
	cmd.Stdout = &out // a pipe, which the sleep inherits
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.done: // the sleep exists
	case <-time.After(patience):
		t.Error("it never began")
	}
	cancel()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(patience):
		t.Fatal("Wait hangs")
	}
	if err := groupGone(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
}

// firstWrite tells of the first write. Used by one goroutine.
type firstWrite struct {
	done chan struct{}
	told bool
}

func (f *firstWrite) Write(p []byte) (int, error) {
	if !f.told {
		f.told = true
		close(f.done)
	}
	return len(p), nil
}

func ExampleDecodeConfig() {
	type table struct {
		Level int `json:"level"`
	}
	got, faults := pluginkit.DecodeConfig([]byte(`{"level": 3}`), table{Level: 1})
	fmt.Println(got.Level, len(faults))
	_, faults = pluginkit.DecodeConfig([]byte(`{"levle": 3}`), table{Level: 1})
	fmt.Println(faults[0].Path, faults[0].Message)
	// Output:
	// 3 0
	// levle is not a key of this plugin
}
