package pluginhost_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

var isSecret = regexp.MustCompile(`^[0-9a-f]{64}$`)

// overSocket is a test plugin without mutual TLS.
func overSocket(args ...string) pluginhost.Spec {
	spec := testPlugin(args...)
	spec.Transport = pluginhost.TransportSocket
	return spec
}

// TestAnotherProcessOfTheUserIsRefusedByAPluginsSocket: the third one, besides host and plugin.
func TestAnotherProcessOfTheUserIsRefusedByAPluginsSocket(t *testing.T) {
	for name, box := range map[string]*sandbox.Spec{"as it is": nil, "sandboxed": {}} {
		t.Run(name, func(t *testing.T) {
			spec := overSocket()
			spec.Sandbox = box
			h, dir := newHost(t, quick(), spec)
			before := pid(t, h)
			sockets, _ := filepath.Glob(filepath.Join(dir, "rt", "p0", "*", "plugin-dir*", "plugin*"))
			if len(sockets) != 1 {
				t.Fatalf("sockets = %q", sockets)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, filepath.Join(pluginDir, "test-plugin"), "calls", sockets[0]).CombinedOutput()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if err != nil || len(lines) != 7 {
				t.Fatalf("%v: %s", err, out)
			}
			for _, line := range lines {
				if !strings.HasSuffix(line, " Unauthenticated") {
					t.Errorf("a stranger's call: %s", line)
				}
			}
			if after := pid(t, h); after != before {
				t.Errorf("process %d was replaced by %d", before, after)
			}
		})
	}
}

func TestEveryCallOfTheHostCarriesTheSecret(t *testing.T) {
	h, dir := newHost(t, quick(), overSocket("records-calls"))
	if _, err := ask(t, h, ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request := doctor.RepairRequest{Finding: doctor.Finding{Code: "fine"}}
	if _, err := h.Doctor("p").Repair(ctx, request, func(doctor.Progress) {}); err != nil {
		t.Fatal(err)
	}
	poll(t, "a health call", func() bool { return strings.Contains(read(t, dir, "calls"), "Health/Check") })
	first := read(t, dir, "secret")
	if err := h.Restart(ctx, "p"); err != nil {
		t.Fatal(err)
	}
	if second := read(t, dir, "secret"); !isSecret.MatchString(first) || !isSecret.MatchString(second) ||
		first == second {
		t.Errorf("the secrets of two processes: %q, %q", first, second)
	}
	want := []string{
		"/plugin.GRPCStdio/StreamStdio", "/plugin.GRPCBroker/StartStream", "/grpc.health.v1.Health/Check",
		"/gatehost.plugin.v1alpha1.PluginService/Describe",
		"/gatehost.plugin.v1alpha1.PluginService/Configure", "/gatehost.plugin.v1alpha1.DoctorService/Diagnose",
		"/gatehost.plugin.v1alpha1.DoctorService/Repair",
	}
	for _, method := range want { // some are made beside the start
		poll(t, method+" with the secret", func() bool {
			return slices.Contains(strings.Split(read(t, dir, "calls"), "\n"), method+" true")
		})
	}
	for line := range strings.Lines(strings.TrimSpace(read(t, dir, "calls"))) {
		if !strings.HasSuffix(strings.TrimSpace(line), " true") {
			t.Errorf("a call without the secret: %s", line)
		}
	}
}

// TestThereIsNoSecretBesideMutualTLS, not even one that the operator wrote: the host would not send it.
func TestThereIsNoSecretBesideMutualTLS(t *testing.T) {
	spec := testPlugin("tells-its-secret")
	spec.Env = map[string]string{pluginkit.SecretEnv: "0123456789abcdef"}
	h, dir := newHost(t, quick(), spec)
	if _, err := ask(t, h, ""); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "secret"); got != "" {
		t.Errorf("secret = %q", got)
	}
}

// TestSecretIsShownNowhere although the plugin tells it: in logs, findings, errors, states and command lines.
func TestSecretIsShownNowhere(t *testing.T) {
	var out lockedBuffer
	dir := t.TempDir()
	var known redact.Known
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Trace}), PluginDir: pluginDir,
		DataDir: filepath.Join(dir, "data"), RuntimeDir: shortDir(t), Timing: quick(), Secrets: &known,
	})
	if err := h.Add(overSocket("tells-its-secret")); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context())
	defer h.Close()
	number := pid(t, h)
	secret := read(t, dir, "secret")
	if !isSecret.MatchString(secret) {
		t.Fatalf("secret = %q", secret)
	}
	finding, err := ask(t, h, "word finding")
	if err != nil {
		t.Fatal(err)
	}
	_, failed := ask(t, h, "word error")
	if failed == nil {
		t.Fatal("no error")
	}
	argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", number))
	if err != nil {
		t.Fatal(err)
	}
	poll(t, "its words in the log", func() bool { return strings.Count(out.String(), "the word is") >= 2 })
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	for where, text := range map[string]string{
		"log": out.String(), "finding": fmt.Sprintf("%#v", finding), "argv": string(argv),
		"error": fmt.Sprintf("%v %+v %s", failed, failed, fault.HintOf(failed)), "state": fmt.Sprintf("%#v", h.Plugins()),
	} {
		if strings.Contains(text, secret[:16]) || strings.Contains(text, encoded[:20]) {
			t.Errorf("%s: %s", where, text)
		}
	}
	if got := known.Redactor().Text(secret); got == secret {
		t.Error("it is not known while the plugin runs")
	}
	h.Close()
	if got := known.Redactor().Text(secret); got != secret {
		t.Errorf("it is still known when the plugin has ended: %q", got)
	}
	if text := out.String(); strings.Contains(text, secret[:16]) {
		t.Errorf("log: %s", text)
	}
}

// TestSandboxedPluginCannotReadTheSecretOfAnother: the environment of another process is closed to it.
func TestSandboxedPluginCannotReadTheSecretOfAnother(t *testing.T) {
	if !sandbox.Supported().OK() {
		return // there is no sandbox here
	}
	other, spec := overSocket(), overSocket()
	other.Name, spec.Sandbox = "q", &sandbox.Spec{Read: []string{"/proc"}}
	h, _ := newHost(t, quick(), spec, other)
	if stateOf(t, h, "q").State != pluginhost.Running {
		t.Fatalf("%+v", h.Plugins())
	}
	if text, err := attempt(t, h, "read /proc/self/status"); err != nil || !strings.Contains(text, "Pid:") {
		t.Fatalf("it reads nothing of /proc: %v", err)
	}
	environ := fmt.Sprintf("/proc/%d/environ", stateOf(t, h, "q").PID)
	if _, err := os.ReadFile(environ); err != nil {
		t.Fatal(err)
	}
	if text, err := attempt(t, h, "read "+environ); err == nil {
		t.Errorf("it reads %q", text)
	}
}

func TestLauncherWithoutMutualTLSIsNotUsed(t *testing.T) {
	h, _ := newHost(t, quick(), overSocket("launches"))
	if _, err := ask(t, h, ""); err != nil {
		t.Errorf("its doctor: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := h.Launcher("p").List(ctx, "")
	want := `cannot serve as launcher: test-plugin 1.2.3 serves as launcher by transport = "socket"`
	if fault.CodeOf(err) != fault.Unsupported || !strings.Contains(err.Error(), want) ||
		!strings.Contains(fault.HintOf(err), "plugin.toml") {
		t.Errorf("error = %v, hint = %s", err, fault.HintOf(err))
	}
	for _, svc := range h.Plugins()[0].Services {
		if (svc.Err != nil) != (svc.Kind == plugin.KindLauncher) || (svc.Version == 0) != (svc.Err != nil) {
			t.Errorf("service = %+v", svc)
		}
	}
}

// TestPluginThatOnlyUnloadsDoesNotStartWithoutMutualTLS: there is nothing left of it.
func TestPluginThatOnlyUnloadsDoesNotStartWithoutMutualTLS(t *testing.T) {
	h, _ := newHost(t, quick(), overSocket("versions", "unloader=1-1"))
	s := awaitState(t, h, pluginhost.Failed)
	if s.Err == nil || !strings.Contains(s.Err.Error(), `serves as unloader by transport = "socket"`) {
		t.Errorf("error = %v", s.Err)
	}
}

// TestRunningLauncherIsNotReplacedByOneWithoutMutualTLS: what it launched needs a launcher.
func TestRunningLauncherIsNotReplacedByOneWithoutMutualTLS(t *testing.T) {
	spec := testPlugin("launches")
	h, _ := newHost(t, quick(), spec)
	before := pid(t, h)
	spec.Transport = pluginhost.TransportSocket
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := h.Change(ctx, spec); err == nil {
		t.Error("it was changed")
	}
	if after := pid(t, h); after != before {
		t.Errorf("process %d was replaced by %d", before, after)
	}
}

func TestProbeSaysThatALauncherNeedsMutualTLS(t *testing.T) {
	p := newProbe(t, overSocket("launches"))
	got, err := p.Start(t.Context())
	if err == nil {
		got.Close()
	}
	if err == nil || !strings.Contains(err.Error(), `serves as launcher by transport = "socket"`) {
		t.Errorf("error = %v", err)
	}
}

func TestProbedSocketIsThatOfAPluginWithoutMutualTLS(t *testing.T) {
	for transport, want := range map[string]bool{pluginhost.TransportSocket: true, pluginhost.TransportMTLS: false} {
		spec := testPlugin()
		spec.Transport = transport
		got := probed(t, newProbe(t, spec))
		if path := got.Socket(); strings.HasPrefix(path, got.SocketDir()+"/") != want || (path != "") != want {
			t.Errorf("%s: socket = %q in %q", transport, path, got.SocketDir())
		}
	}
}

// read returns a file of the plugin's data directory, "" while it does not exist.
func read(t *testing.T, dir, name string) string {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		text, err := os.ReadFile(inData(dir, name))
		if err == nil {
			return string(text)
		}
		if !os.IsNotExist(err) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // a poll
	}
}
