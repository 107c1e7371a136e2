package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/conformance"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/pluginkit/plugintest"
)

const gib = 1 << 30

func TestItKeepsTheContract(t *testing.T) {
	conformance.Doctor(t, func() pluginkit.Plugin { return environment(roomy()) })
}

// roomy is a machine on which nothing is wrong; tests make something wrong with it.
func roomy() machine {
	return machine{
		space: func(path string) space {
			return space{known: true, free: 40 * gib, total: 100 * gib, inodes: 1000, freeInodes: 900, at: path}
		},
		owner: func(string) string { return "uid 0, mode dr-x------" },
		now:   func() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) },
	}
}

func withSpace(s space) machine {
	m := roomy()
	m.space = func(path string) space { s.known, s.at = true, path; return s }
	return m
}

var facts = plugin.GatewayFacts{
	Name: "main", Port: 18805, Profile: "openclaw", StateDir: "/srv/openclaw",
	ConfigPath: "/etc/openclaw.json",
}

func open(t *testing.T, m machine) *plugintest.Conn {
	t.Helper()
	conn, err := plugintest.Dial(environment(m))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func diagnose(t *testing.T, m machine, i *doctor.Incident) []doctor.Finding {
	t.Helper()
	d, err := doctor.NewClient(open(t, m)).Diagnose(t.Context(), doctor.DiagnoseRequest{Gateway: facts, Incident: i})
	if err != nil || len(d.Wants) > 0 {
		t.Fatalf("diagnosis = %+v, %v", d, err)
	}
	return d.Findings
}

func failed(code int, lines ...plugin.Line) *doctor.Incident {
	return &doctor.Incident{
		Exit: &plugin.Exit{Code: code, Known: true}, ErrorCode: "exited_before_ready", Lines: lines,
		Attempt: 1,
	}
}

func stderr(texts ...string) []plugin.Line {
	var out []plugin.Line
	for i, t := range texts {
		out = append(out, plugin.Line{Cursor: uint64(i + 1), Stream: plugin.Stderr, Text: t})
	}
	return out
}

// captured reads a log of a real gateway: `[  1234ms stderr] text`.
func captured(t *testing.T, name string) []plugin.Line {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "plugins", "doctor", "testdata", "stderr", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var out []plugin.Line
	for _, m := range regexp.MustCompile(`(?m)^\[ *\d+ms (stdout|stderr)\] (.*)$`).FindAllStringSubmatch(string(data),
		-1) {
		l := plugin.Line{Cursor: uint64(len(out) + 1), Text: m[2], Stream: plugin.Stdout}
		if m[1] == "stderr" {
			l.Stream = plugin.Stderr
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		t.Fatalf("%s holds no lines", name)
	}
	return out[max(0, len(out)-120):] // as many as a host gives
}

// TestRealLogsShowWhatWasWrongAndNothingElse: each was captured from a real gateway, which had that trouble or none.
func TestRealLogsShowWhatWasWrongAndNothingElse(t *testing.T) {
	want := map[string][]string{
		"full-disk":                    {"disk-full"},
		"full-disk-first-start":        {"disk-full"},
		"nearly-full-disk-first-start": nil, // without a look at the disk its words say nothing; see below
		"node-too-old":                 {"node-unsupported"},
		"no-right-to-state":            {"permission-denied"},
		"port-conflict-foreign":        {"port-taken"},
		"port-conflict-gateway":        {"port-taken"},
	}
	logs, err := filepath.Glob(filepath.Join("..", "..", "plugins", "doctor", "testdata", "stderr", "*.txt"))
	if err != nil || len(logs) < 27 {
		t.Fatalf("logs = %v, %v", logs, err)
	}
	for _, path := range logs {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		lines := captured(t, name)
		if got := codesOf(diagnose(t, roomy(), failed(1, lines...))); !slices.Equal(got, want[name]) {
			t.Errorf("%s shows %v, want %v", name, got, want[name])
		}
	}
}

// TestCorpusHoldsNoFalseAlarm: each line of the corpus alone, then all that a start could hold in one.
func TestCorpusHoldsNoFalseAlarm(t *testing.T) {
	want := map[string]string{}
	for code, lines := range map[string][]string{
		"node-unsupported": {
			"openclaw requires Node >=24.15; Node 20.11.1 is outside the supported range",
			"System Node.js 18.0.0 at /usr/bin/node is outside the supported range.",
			"Install Node 24.15+ (recommended) or Node 22.22.3+",
		},
		"sqlite-unsupported": {
			"Node 22.12.0 uses SQLite 3.46.0, which is not WAL-reset-safe",
			"SQLite 3.49.1: WAL-reset-safe runtime required",
		},
		"migration-running": {
			"OpenClaw startup migrations are already running for this state directory; retry after the other OpenClaw " +
				"process finishes or after 2026-09-01T00:00:00.000Z. (held by pid 4242)",
			"startup migration is already running; retry after the other gateway finishes",
			"retry after the other gateway finishes",
		},
		"out-of-memory": {
			"FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
			"Killed",
		},
		"runtime-broken": {"dyld[812]: Library not loaded: @rpath/libnode.127.dylib"},
		"port-taken": {
			"Error: listen EADDRINUSE: address already in use 127.0.0.1:18789",
			"Gateway failed to start: another gateway instance is already listening on ws://127.0.0.1:18789",
		},
	} {
		for _, l := range lines {
			want[l] = code
		}
	}
	f, err := os.Open(filepath.Join("..", "..", "plugins", "doctor", "testdata", "stderr-corpus.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := newDoctor(roomy())
	gw := facts
	gw.Port = 18789
	n, found := 0, 0
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<22)
	for in.Scan() {
		var row struct{ Line string }
		if err := json.Unmarshal(in.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		n++
		got, err := d.Diagnose(t.Context(),
			doctor.DiagnoseRequest{Gateway: gw, Incident: failed(1, stderr(row.Line)...)})
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(codesOf(got.Findings), " "); all != want[row.Line] {
			t.Errorf("%q shows %q, want %q", cut(row.Line), all, want[row.Line])
		}
		found += len(got.Findings)
	}
	if n != 300 || found != len(want) {
		t.Errorf("lines = %d, findings = %d, want 300 and %d", n, found, len(want))
	}
}

func TestHealthyGatewayOnAHealthyMachineHasNothing(t *testing.T) {
	if got := diagnose(t, roomy(), nil); len(got) != 0 {
		t.Errorf("findings = %+v", got)
	}
	for _, name := range []string{
		"normal-start-and-SIGTERM", "normal-start-verbose", "normal-start-ansi-FORCE_COLOR",
		"normal-start-with-startup-trace", "signal-SIGTERM", "old-2026.3.13-start-USR1-TERM",
		"old-2026.5.27-start-USR1-TERM",
	} {
		if got := diagnose(t, realMachine(), &doctor.Incident{Lines: captured(t, name)}); slices.ContainsFunc(got,
			func(f doctor.Finding) bool { return f.Code != "disk-nearly-full" }) {
			t.Errorf("%s on this machine: %+v", name, got) // its disk may be what it is
		}
	}
}

func TestWhatOthersSayIsNotTheGatewaysOwn(t *testing.T) {
	for _, text := range []string{
		"[agent] model said: ENOSPC: no space left on device",
		"2026-11-25T23:15:46.514+00:00 [agents/main] npm ERR! ENOSPC: no space left on device, write",
		`{"level":50,"msg":"ENOSPC: no space left on device"}`,
		`[gateway] agent replied: JavaScript heap out of memory`,
		"[ERROR] plugin: EACCES: permission denied, open '/srv/openclaw/x'",
		// only a note: it starts
		"Node 25.2.0: unsupported version, capability probe passed. Supported releases: 24.16+/26.1+.",
		// another port than its own
		"[gateway] browser control: listen EADDRINUSE: address already in use 127.0.0.1:18807",
		// not a file of the gateway
		"Error: EACCES: permission denied, open '/home/other/.npmrc'",
	} {
		if got := diagnose(t, roomy(), failed(1, stderr(text)...)); len(got) != 0 {
			t.Errorf("%q: %+v", text, got)
		}
	}
	ran := append(captured(t, "normal-start-and-SIGTERM")[:16], plugin.Line{
		Cursor: 1000, Stream: plugin.Stdout,
		Text: "ENOSPC: no space left on device, as you asked",
	})
	if got := diagnose(t, roomy(), failed(1, ran...)); len(got) != 0 {
		t.Errorf("what an agent printed on stdout: %+v", got)
	}
	ran[16] = plugin.Line{Cursor: 1000, Stream: plugin.Stderr, Text: "Error: ENOSPC: no space left on device, write"}
	if got := codesOf(diagnose(t, roomy(), failed(1, ran...))); !slices.Equal(got, []string{"disk-full"}) {
		t.Errorf("the last words of a gateway that ran: %v", got)
	}
}

// TestLongLinesCostLittle: what a host gives at most, 120 lines of 64 KiB, within the 30 s that it waits.
func TestLongLinesCostLittle(t *testing.T) {
	long := make([]string, 120)
	for i := range long {
		long[i] = "Error: Node " + strings.Repeat("x ENOSP ", 8<<10)
	}
	began := time.Now()
	if got := diagnose(t, roomy(), failed(1, stderr(long...)...)); len(got) != 0 {
		t.Errorf("findings = %+v", got)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestFullDiskIsToldFromOneThatWasFull(t *testing.T) {
	said := failed(1, captured(t, "full-disk")...)
	full := diagnose(t, withSpace(space{free: 0, total: gib}), said)
	if len(full) != 1 || !full[0].Fatal || full[0].Severity != plugin.SeverityError ||
		!strings.Contains(full[0].Text, "/srv/openclaw is full") ||
		!slices.ContainsFunc(full[0].Evidence,
			func(e string) bool { return strings.Contains(e, "0 MiB of 1024 MiB are free") }) {
		t.Errorf("full: %+v", full)
	}
	// what has been freed since is no second trouble
	nearly := diagnose(t, withSpace(space{free: 1 << 20, total: gib}), said)
	if got := codesOf(nearly); !slices.Equal(got, []string{"disk-full"}) {
		t.Errorf("nearly full by now: %v", got)
	}
	was := diagnose(t, roomy(), said)
	if len(was) != 1 || was[0].Fatal || !strings.Contains(was[0].Text, "there is room now") {
		t.Errorf("was full: %+v", was)
	}
	unknown := diagnose(t, machine{
		space: func(string) space { return space{} }, owner: roomy().owner,
		now: roomy().now,
	}, said)
	if len(unknown) != 1 || !unknown[0].Fatal || unknown[0].Hint == "" {
		t.Errorf("where nothing can be seen: %+v", unknown)
	}
}

// TestDiskIsLookedAtWhereTheGatewayNamesNoReason: 2026.9.6 says no more than "database is not open".
func TestDiskIsLookedAtWhereTheGatewayNamesNoReason(t *testing.T) {
	mute := failed(78, captured(t, "nearly-full-disk-first-start")...)
	for name, row := range map[string]struct {
		space space
		i     *doctor.Incident
		want  []string
		fatal bool
	}{
		"it suffers from a nearly full disk": {
			space{free: 56 << 10, total: 256 << 10 * 16},
			mute,
			[]string{"disk-full"},
			false,
		},
		"no byte is left": {space{free: 0, total: gib}, failed(1), []string{"disk-full"}, true},
		"no inode is left": {
			space{free: gib, total: 2 * gib, inodes: 100},
			failed(1),
			[]string{"disk-full"},
			true,
		},
		"it failed for something else": {
			space{free: 1 << 20, total: gib},
			failed(78, captured(t, "bad-config-bad-enum")...),
			[]string{"disk-nearly-full"},
			false,
		},
		"nothing failed":         {space{free: 0, total: gib}, nil, []string{"disk-nearly-full"}, false},
		"a small disk with room": {space{free: 20 << 20, total: 30 << 20}, nil, nil, false},
		"a big disk with room":   {space{free: 65 << 20, total: 100 * gib}, nil, nil, false},
		"mounted read-only": {
			space{free: 0, total: gib, readOnly: true},
			failed(1),
			[]string{"file-system-read-only"},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := diagnose(t, withSpace(row.space), row.i)
			if !slices.Equal(codesOf(got), row.want) || len(got) > 0 && got[0].Fatal != row.fatal {
				t.Errorf("findings = %+v, want %v, fatal %v", got, row.want, row.fatal)
			}
		})
	}
}

func TestWhoHasThePortIsSaid(t *testing.T) {
	got := diagnose(t, roomy(), failed(1, captured(t, "port-conflict-foreign")...))
	if len(got) != 1 || !got[0].OtherOwner || !strings.Contains(got[0].Text, "port 18805: pid 23131 root: ") {
		t.Errorf("findings = %+v", got)
	}
}

func TestVersionPidAndOwnerAreSaid(t *testing.T) {
	for _, row := range []struct{ line, text, evidence string }{
		{
			"openclaw: Node 20.20.2: node:sqlite is unavailable; use 24.16+/26.1+ or a build with the fix.",
			"Node 20.20.2", "",
		},
		{"OpenClaw startup migrations are already running for this state directory; retry after the other OpenClaw " +
			"process finishes or after 2026-09-01T00:00:00.000Z. (held by pid 4242)", "(pid 4242)", ""},
		{"Error: EACCES: permission denied, open '/srv/openclaw/a/b'", "/srv/openclaw/a/b", "uid 0, mode dr-x------"},
		{"Error: EACCES: permission denied, open '/etc/openclaw.json'", "/etc/openclaw.json", ""},
	} {
		got := diagnose(t, roomy(), failed(1, stderr(row.line)...))
		if len(got) != 1 || !got[0].Fatal || got[0].Hint == "" || !strings.Contains(got[0].Text, row.text) ||
			!strings.Contains(strings.Join(got[0].Evidence, "\n"), row.evidence) {
			t.Errorf("%q: %+v", row.line, got)
		}
	}
}

func TestOtherLimitsAreToldApart(t *testing.T) {
	for _, row := range [][2]string{
		{
			"disk-full",
			"2026-11-25T23:58:03.144+00:00 [lifecycle] failed to persist gateway boot start; fail-open: Error: database or " +
				"disk is full",
		},
		{
			"disk-full",
			"2026-11-25T23:58:15.632+00:00 Gateway failed to start: failed to acquire gateway lock at " +
				"/srv/openclaw/tmp/openclaw-0/gateway.17d558d0.lock | ENOSPC: no space left on device, write",
		},
		{"provider-credentials", "[openai] 401 Unauthorized: the access token expired at 2026-11-23T13:40:00Z"},
		{
			"provider-credentials",
			"2026-11-25T23:58:03.144+00:00 [model-fallback] Authentication failed (provider returned HTTP 401). Your " +
				"provider token may have expired — try the request again in a moment.",
		},
		{"provider-credentials", "[secrets] SECRETS_PROVIDER_DEGRADED: vault"},
		{"", "[agent/embedded] the site answered HTTP 401: token expired"},
		{"", "[openai] the token will expire in 401 minutes"},
		{"watch-limit", "Error: ENOSPC: System limit for number of file watchers reached, watch '/srv/openclaw'"},
		{"watch-limit", "Error: EMFILE: too many open files, watch '/srv/openclaw'"},
		{"too-many-files", "Error: EMFILE: too many open files, open '/srv/openclaw/a'"},
		{"file-system-read-only", "Error: EROFS: read-only file system, open '/srv/openclaw/a'"},
		{"", "Error: EROFS: read-only file system, open '/usr/lib/a'"},
		{"port-forbidden", "Error: listen EACCES: permission denied 127.0.0.1:18805"},
		{"out-of-memory", "Error: spawn ENOMEM"},
		{
			"runtime-broken",
			"node: error while loading shared libraries: libatomic.so.1: cannot open shared object file: No such file",
		},
		{
			"sqlite-unsupported",
			"openclaw: Node 24.16.0: SQLite 3.49.0 is not WAL-reset-safe; use SQLite 3.51.3+, 3.50.7+, or 3.44.6+ on its " +
				"patched release line.",
		},
		{"node-unsupported", "openclaw: Node 22.22.3: openclaw requires Node >=24.16.0 <25, or >=26.1.0."},
		{"clock-off", "Error: self signed certificate: CERT_NOT_YET_VALID"},
	} {
		if got := strings.Join(codesOf(diagnose(t, roomy(), failed(1, stderr(row[1])...))), " "); got != row[0] {
			t.Errorf("%q shows %q, want %q", row[1], got, row[0])
		}
	}
}

func TestKillIsTheKernelsOnlyWhenTheHostDidNotKill(t *testing.T) {
	killed := &plugin.Exit{Signal: "SIGKILL", Known: true}
	for _, row := range []struct {
		code string
		exit *plugin.Exit
		want []string
	}{
		{"exited_before_ready", killed, []string{"killed"}},
		{"exited_before_ready", &plugin.Exit{Code: 137, Known: true}, []string{"killed"}},
		{"start_timeout", killed, nil}, // the host gave up on it
		{"exited_before_ready", &plugin.Exit{Signal: "SIGKILL"}, nil},
		{"exited_before_ready", &plugin.Exit{Code: 1, Known: true}, nil},
	} {
		got := diagnose(t, roomy(), &doctor.Incident{Exit: row.exit, ErrorCode: row.code})
		if !slices.Equal(codesOf(got), row.want) || len(got) > 0 && got[0].Fatal {
			t.Errorf("%s, %v: %+v, want %v, worth another start", row.code, row.exit, got, row.want)
		}
	}
}

func TestRefusedSessionsAndOldClocksAreFound(t *testing.T) {
	for code, want := range map[string]string{
		"AUTH_TOKEN_MISMATCH": "token-refused",
		"AUTH_TOKEN_MISSING":  "token-refused", "DEVICE_AUTH_SIGNATURE_EXPIRED": "clock-off", "PAIRING_REQUIRED": "",
	} {
		if got := strings.Join(
			codesOf(diagnose(t, roomy(), &doctor.Incident{ErrorCode: code, ErrorMessage: "refused"})),
			" "); got != want {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
	m := roomy()
	m.now = func() time.Time { return time.Unix(86400, 0) }
	if got := codesOf(diagnose(t, m, nil)); !slices.Equal(got, []string{"clock-off"}) {
		t.Errorf("1970: %v", got)
	}
}

func TestSymptomsSpeakWhereTheLinesAreGone(t *testing.T) {
	i := failed(1)
	i.Symptoms = []plugin.Symptom{plugin.SymptomRuntimeFatal, plugin.SymptomConfigInvalid}
	if got := codesOf(diagnose(t, roomy(), i)); !slices.Equal(got, []string{"node-unsupported"}) {
		t.Errorf("findings = %v", got)
	}
}

func TestTableIsCheckedAndTakenAgain(t *testing.T) {
	conn := open(t, withSpace(space{free: 3 * gib, total: 100 * gib}))
	c, kit := doctor.NewClient(conn), pluginkit.NewClient(conn)
	ask := func() []string {
		d, err := c.Diagnose(t.Context(), doctor.DiagnoseRequest{Gateway: facts})
		if err != nil {
			t.Fatal(err)
		}
		return codesOf(d.Findings)
	}
	if got := ask(); got != nil {
		t.Errorf("by default: %v", got)
	}
	for _, step := range []struct {
		table  string
		faults int
		want   []string
	}{
		{`{"min_free_mib": 4096}`, 0, []string{"disk-nearly-full"}},
		{`{"min_free_mib": -1}`, 1, []string{"disk-nearly-full"}}, // refused: the former one stays
		{`{"min_fre": 1, "min_free_mib": "x"}`, 2, []string{"disk-nearly-full"}},
		{`{}`, 0, nil},
	} {
		faults, err := kit.Configure(t.Context(), plugin.ConfigureRequest{Config: json.RawMessage(step.table)})
		if err != nil || len(faults) != step.faults {
			t.Errorf("configure %s = %+v, %v, want %d faults", step.table, faults, err, step.faults)
		}
		if got := ask(); !slices.Equal(got, step.want) {
			t.Errorf("after %s: %v, want %v", step.table, got, step.want)
		}
	}
}

func TestItRepairsNothing(t *testing.T) {
	c := doctor.NewClient(open(t, roomy()))
	if p, err := c.Plan(t.Context(), facts, doctor.Finding{Code: "disk-full"}); err != nil || p != nil {
		t.Errorf("plan = %+v, %v", p, err)
	}
	if _, err := c.Repair(t.Context(), doctor.RepairRequest{Finding: doctor.Finding{Code: "disk-full"}},
		nil); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("repair = %v", err)
	}
}
