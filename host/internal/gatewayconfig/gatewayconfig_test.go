package gatewayconfig_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/shared/fault"
)

const (
	online  = gatewayconfig.Online
	offline = gatewayconfig.Offline
	between = gatewayconfig.Between
)

func set(t *testing.T, e *gatewayconfig.Editor, at string, value any) gatewayconfig.Result {
	t.Helper()
	r, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, at), value))
	if err != nil {
		t.Fatalf("cannot set %s: %v", at, err)
	}
	return r
}

// Reference of all tests that name a row: gateway-config-delivery.test.ts.

func TestMutatesTheRunningSnapshotAndCommitsItWithItsBaseHash(t *testing.T) { // T127
	g, e := newGateway(t, online, plain)
	before := hashOf(plain)
	r := set(t, e, "logging.level", "debug")
	if g.at("logging.level") != "debug" || g.at("gateway.mode") != "local" {
		t.Errorf("the file is\n%s", g.read())
	}
	if got := strings.Join(g.calls, " "); got != "config.get config.schema.lookup config.set" {
		t.Errorf("calls: %s", got)
	}
	var p struct{ Raw, BaseHash string }
	if err := json.Unmarshal(g.sets[0], &p); err != nil || p.BaseHash != before || !strings.Contains(p.Raw, `"debug"`) {
		t.Errorf("config.set had %s, want the base hash %s", g.sets[0], before)
	}
	if r.By != gatewayconfig.ByGateway || r.RequiresRestart == nil || *r.RequiresRestart {
		t.Errorf("got %+v", r)
	}
}

func TestReadsTheRunningSnapshotInsteadOfAStaleFile(t *testing.T) { // T128
	g, e := newGateway(t, online, plain)
	g.OnGet = func(_ int, payload map[string]any) {
		payload["config"].(map[string]any)["logging"] = map[string]any{"level": "trace"}
	}
	v, err := e.Get(t.Context(), path(t, "logging.level"))
	if err != nil || v.Value != "trace" || v.By != gatewayconfig.ByGateway {
		t.Errorf("got %+v, %v; the file says info", v, err)
	}
	var seen any
	_, err = e.Edit(t.Context(), gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
		seen, _ = gatewayconfig.Lookup(c, path(t, "logging.level"))
		return nil
	})
	if err != nil || seen != "trace" {
		t.Errorf("the mutator saw %v, %v", seen, err)
	}
}

const commented = `// how we run it
{
  gateway: { mode: 'local', auth: { token: 'sesame-12345678' } }, // never remote
  logging: {
    level: 'info', /* calm */
  },
}
`

func TestReadsJSON5FromTheFileWhileTheGatewayIsStopped(t *testing.T) { // T129, B322
	g, e := newGateway(t, offline, commented)
	v, err := e.Get(t.Context(), path(t, "logging.level"))
	if err != nil || v.Value != "info" || v.By != gatewayconfig.ByFile {
		t.Errorf("got %+v, %v", v, err)
	}
	set(t, e, "logging.level", "debug")
	if want := strings.Replace(commented, "'info'", `"debug"`, 1); g.read() != want {
		t.Errorf("the file is\n%s\nwant\n%s", g.read(), want)
	}
}

func TestNestedMutationChangesTheSameConfigWithoutDeadlock(t *testing.T) { // T130
	for _, p := range []gatewayconfig.Presence{online, offline} {
		g, e := newGateway(t, p, plain)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // only a deadlock reaches it
		defer cancel()
		r, err := e.Edit(ctx, gatewayconfig.How{}, func(ctx context.Context, c map[string]any) error {
			c["ui"] = map[string]any{"a": 1}
			inner, err := e.Edit(ctx, gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
				c["ui"].(map[string]any)["b"] = 2
				return nil
			})
			if !inner.Nested {
				t.Error("the inner edit was one of its own")
			}
			c["ui"].(map[string]any)["c"] = 3
			return err
		})
		if err != nil || fmt.Sprint(g.at("ui")) != "map[a:1 b:2 c:3]" || len(r.Changes) != 1 ||
			g.count("config.set") > 1 {
			t.Errorf("%v %+v: the file is\n%s", err, r, g.read())
		}
	}
}

func TestFailedNestedMutationIsNotWritten(t *testing.T) {
	g, e := newGateway(t, offline, plain)
	mine := errors.New("half done")
	_, err := e.Edit(t.Context(), gatewayconfig.How{}, func(ctx context.Context, c map[string]any) error {
		_, _ = e.Edit(ctx, gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
			c["x"] = 1
			return mine
		})
		return nil // forgot to look
	})
	if !errors.Is(err, mine) || g.read() != plain {
		t.Errorf("got %v, the file is\n%s", err, g.read())
	}
}

func TestContextOfAnEndedEditDoesNotJumpTheQueue(t *testing.T) {
	g, e := newGateway(t, offline, plain)
	var old context.Context
	if _, err := e.Edit(t.Context(), gatewayconfig.How{}, func(ctx context.Context, _ map[string]any) error {
		old = ctx
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r, err := e.Edit(old, gatewayconfig.How{}, gatewayconfig.Set(path(t, "a"), 1))
	if err != nil || r.Nested || g.at("a") != json.Number("1") {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestFileIsEditedWithoutAskingOrStartingTheGateway(t *testing.T) { // T131
	g, e := newGateway(t, offline, plain)
	r := set(t, e, "logging.level", "warn")
	if len(g.calls) != 0 || r.By != gatewayconfig.ByFile || g.read() != strings.Replace(plain, `"info"`, `"warn"`, 1) {
		t.Errorf("calls %v, %+v, the file is\n%s", g.calls, r, g.read())
	}
}

func TestSwitchesToTheGatewayWhenItStartsBeforeTheFileIsWritten(t *testing.T) { // T132
	g, e := newGateway(t, offline, plain)
	g.OnPresence = func(n int) gatewayconfig.Presence {
		return map[bool]gatewayconfig.Presence{true: offline, false: online}[n == 1]
	}
	mutated := 0
	r, err := e.Edit(t.Context(), gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
		mutated++
		c["logging"] = map[string]any{"level": "debug"}
		return nil
	})
	if err != nil || r.By != gatewayconfig.ByGateway || mutated != 2 || g.count("config.set") != 1 {
		t.Errorf("%v: %+v after %d mutations, calls %v", err, r, mutated, g.calls)
	}
}

func TestSwitchesToTheFileWhenTheGatewayGoesBeforeItWasAsked(t *testing.T) {
	g, e := newGateway(t, online, plain)
	g.OnSet = func(int, func()) (bool, error) {
		g.mu.Lock()
		g.presence = offline
		g.mu.Unlock()
		return true, gatewayconfig.ErrNoSession
	}
	if r := set(t, e, "a", 1); r.By != gatewayconfig.ByFile || g.at("a") != json.Number("1") {
		t.Errorf("got %+v, the file is\n%s", r, g.read())
	}
}

func TestWaitsForAGatewayThatIsOnItsWay(t *testing.T) {
	g, e := newGateway(t, between, plain)
	g.OnPresence = func(n int) gatewayconfig.Presence {
		return map[bool]gatewayconfig.Presence{true: between, false: online}[n < 5]
	}
	if r := set(t, e, "a", 1); r.By != gatewayconfig.ByGateway {
		t.Errorf("got %+v", r)
	}
}

func TestRetriesFromFreshContentWhenTheFileWasChangedMeanwhile(t *testing.T) { // T133
	g, e := newGateway(t, offline, plain)
	n := 0
	_, err := e.Edit(t.Context(), gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
		if n++; n == 1 {
			g.write(strings.Replace(plain, "local", "remote", 1))
		}
		c["mine"] = true
		return nil
	})
	if err != nil || n != 2 || g.at("gateway.mode") != "remote" || g.at("mine") != true {
		t.Errorf("%v after %d mutations: the file is\n%s", err, n, g.read())
	}
}

func TestFailsAfterOneRetryAndLeavesTheOtherWritersFile(t *testing.T) { // T134
	g, e := newGateway(t, offline, plain)
	n := 0
	_, err := e.Edit(t.Context(), gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
		n++
		g.write(fmt.Sprintf(`{"theirs": %d}`, n))
		c["mine"] = true
		return nil
	})
	if fault.CodeOf(err) != fault.Conflict || n != 2 || g.read() != `{"theirs": 2}` {
		t.Errorf("%v after %d mutations: the file is %s", err, n, g.read())
	}
}

func TestFileIsReplacedAtOnceAndKeepsItsMode(t *testing.T) { // T135
	g, e := newGateway(t, offline, plain)
	if err := os.Chmod(g.path, 0o640); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(g.path)
	if err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(g.path)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	set(t, e, "a", 1)
	after, err := os.Stat(g.path)
	if err != nil || os.SameFile(before, after) || after.Mode().Perm() != 0o640 {
		t.Errorf("%v: mode %v, the same file: %t", err, after.Mode(), os.SameFile(before, after))
	}
	was := make([]byte, len(plain)+100)
	if n, _ := open.Read(was); string(was[:n]) != plain {
		t.Errorf("a reader of the old file sees %q", was[:n])
	}
	entries, err := os.ReadDir(filepath.Dir(g.path))
	if err != nil || len(entries) != 2 { // the file and the directory of copies
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestConcurrentEditsAreOneAfterTheOther(t *testing.T) { // T136
	for _, p := range []gatewayconfig.Presence{online, offline} {
		g, e := newGateway(t, p, plain)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				_, err := e.Edit(t.Context(), gatewayconfig.How{},
					gatewayconfig.Set([]string{"n", fmt.Sprintf("k%d", i)}, i))
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n, _ := g.at("n").(map[string]any); len(n) != 8 {
			t.Errorf("the file is\n%s", g.read())
		}
	}
}

func TestRetriesOneBaseHashConflictFromAFreshSnapshot(t *testing.T) { // T137
	g, e := newGateway(t, online, plain)
	g.OnSet = func(n int, _ func()) (bool, error) {
		if n == 1 { // another program was faster
			g.write(strings.Replace(plain, "local", "remote", 1))
		}
		return false, nil
	}
	set(t, e, "mine", true)
	if g.count("config.get") != 2 || len(g.sets) != 2 || g.at("gateway.mode") != "remote" || g.at("mine") != true {
		t.Errorf("calls %v: the file is\n%s", g.calls, g.read())
	}
	g.OnSet = func(int, func()) (bool, error) { return true, conflict() }
	_, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "mine"), false))
	if fault.CodeOf(err) != fault.Conflict || len(g.sets) != 4 {
		t.Errorf("got %v after %d sets, want a conflict after two more", err, len(g.sets))
	}
}

func TestNothingIsWrittenWhenNothingChanges(t *testing.T) { // T138
	for _, p := range []gatewayconfig.Presence{online, offline} {
		g, e := newGateway(t, p, commented)
		before, err := os.Stat(g.path)
		if err != nil {
			t.Fatal(err)
		}
		r := set(t, e, "logging.level", "info")
		after, err := os.Stat(g.path)
		if err != nil || len(r.Changes) != 0 || g.count("config.set") != 0 || !os.SameFile(before, after) ||
			!after.ModTime().Equal(before.ModTime()) {
			t.Errorf("%v: %+v, calls %v", err, r, g.calls)
		}
		if _, err := e.Undo(t.Context(), gatewayconfig.How{}, false); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("there is something to undo: %v", err)
		}
	}
}

func TestPlaceholdersOfSecretsMakeTheRoundTrip(t *testing.T) { // T139
	g, e := newGateway(t, online, plain)
	set(t, e, "logging.level", "debug")
	var p struct{ Raw string }
	if err := json.Unmarshal(g.sets[0], &p); err != nil || !strings.Contains(p.Raw, `"token": "`+placeholder+`"`) ||
		strings.Contains(p.Raw, "sesame") {
		t.Errorf("%v: config.set had %s", err, p.Raw)
	}
	if g.at("gateway.auth.token") != "sesame-12345678" {
		t.Errorf("the file is\n%s", g.read())
	}
}

func TestPlaceholdersInAFileEditKeepTheSecret(t *testing.T) {
	g, e := newGateway(t, offline, plain)
	v, err := e.Get(t.Context(), nil)
	if err != nil || strings.Contains(fmt.Sprint(v.Value), "sesame") {
		t.Fatalf("got %v, %v", v.Value, err)
	}
	shown := v.Value.(map[string]any)
	shown["new"] = true
	if _, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Merge(shown)); err != nil {
		t.Fatal(err)
	}
	if g.at("gateway.auth.token") != "sesame-12345678" || g.at("new") != true {
		t.Errorf("the file is\n%s", g.read())
	}
	_, err = e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "hooks.token"), placeholder))
	if fault.CodeOf(err) != fault.InvalidArgument || strings.Contains(g.read(), placeholder) {
		t.Errorf("a placeholder became a value: %v\n%s", err, g.read())
	}
}

func TestRuntimeShapeIsUsedAlsoWhenTheSourceIsThere(t *testing.T) { // T140
	g, e := newGateway(t, online, plain)
	var seen any
	_, err := e.Edit(t.Context(), gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
		seen = c["messages"] // a default: only the runtime shape has it
		c["a"] = 1
		return nil
	})
	if err != nil || seen == nil || !strings.Contains(string(g.sets[0]), "ackReactionScope") {
		t.Errorf("%v: the mutator saw %v, config.set had %s", err, seen, g.sets[0])
	}
	if g.at("messages") != nil {
		t.Errorf("a default was written:\n%s", g.read())
	}
}

func TestRuntimeShapeIsEnough(t *testing.T) { // T141
	g, e := newGateway(t, online, plain)
	g.OnGet = func(_ int, payload map[string]any) {
		payload["raw"] = nil
		delete(payload, "parsed")
		delete(payload, "resolved")
	}
	if r := set(t, e, "a", 1); len(r.Changes) != 1 || g.at("a") != json.Number("1") {
		t.Errorf("the file is\n%s", g.read())
	}
}

// lost are the ways in which an answer is lost: T142, T143, T144.
func lost() map[string]error {
	return map[string]error{
		"native restart":       errors.New("Gateway not connected"),
		"timeout":              fmt.Errorf("RPC timeout: config.set: %w", context.DeadlineExceeded),
		"1012 service restart": errors.New("websocket: close 1012 (service restart)"),
	}
}

func TestCommitWhoseAnswerWasLostIsProvenByTheFile(t *testing.T) { // T142, T143, T144
	for name, cause := range lost() {
		t.Run(name, func(t *testing.T) {
			g, e := newGateway(t, online, plain)
			g.OnSet = func(_ int, persist func()) (bool, error) {
				go func() {
					time.Sleep(20 * time.Millisecond) // the file is written after the answer was given up
					persist()
				}()
				return true, cause
			}
			r := set(t, e, "gateway.auth", map[string]any{"mode": "token", "token": placeholder, "rate": 1})
			if !r.Settled || len(g.sets) != 1 || g.at("gateway.auth.token") != "sesame-12345678" || r.Copy == "" {
				t.Errorf("got %+v, the file is\n%s", r, g.read())
			}
		})
	}
}

func TestLostAnswerWithoutProofIsAnError(t *testing.T) {
	for name, cause := range lost() {
		t.Run(name, func(t *testing.T) {
			g, e := newGateway(t, online, plain)
			g.OnSet = func(int, func()) (bool, error) { return true, cause }
			_, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "logging.level"), "debug"))
			if fault.CodeOf(err) != fault.Unavailable || !errors.Is(err, cause) || g.read() != plain {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRefusesToWriteWhatCannotBeRead(t *testing.T) { // B322
	const broken = "{ gateway: { mode: 'local'\n"
	g, e := newGateway(t, offline, broken)
	_, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "a"), 1))
	if fault.CodeOf(err) != fault.FailedPrecondition || fault.HintOf(err) == "" || g.read() != broken {
		t.Errorf("got %v, the file is %q", err, g.read())
	}
	if _, err := e.Get(t.Context(), nil); fault.CodeOf(err) != fault.FailedPrecondition {
		t.Errorf("it was read: %v", err)
	}
	g.write(plain)
	g.presence = online
	g.OnGet = func(_ int, payload map[string]any) {
		payload["valid"], payload["issues"] = false, []any{map[string]any{
			"path":    "gateway.port",
			"message": "Invalid input",
		}}
	}
	_, err = e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "a"), 1))
	if fault.CodeOf(err) != fault.FailedPrecondition ||
		!strings.Contains(err.Error(), "gateway.port: Invalid input") || len(g.sets) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestCommentsAreNeverLostSilently(t *testing.T) { // B322
	g, e := newGateway(t, online, commented)
	_, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "logging.level"), "debug"))
	if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(fault.HintOf(err), "--drop-comments") ||
		g.read() != commented {
		t.Errorf("got %v, the file is\n%s", err, g.read())
	}
	if _, err := e.Edit(t.Context(), gatewayconfig.How{DropComments: true},
		gatewayconfig.Set(path(t, "logging.level"), "debug")); err != nil {
		t.Error(err)
	}
	g.presence = offline
	if _, err := e.Undo(t.Context(), gatewayconfig.How{}, false); err != nil || g.read() != commented {
		t.Errorf("undo: %v, the file is\n%s", err, g.read())
	}
	_, err = e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "logging"), 1))
	if fault.CodeOf(err) != fault.FailedPrecondition || g.read() != commented {
		t.Errorf("comments within a replaced value: %v\n%s", err, g.read())
	}
}

func TestUndoGoesBackStepByStep(t *testing.T) {
	for _, p := range []gatewayconfig.Presence{online, offline} {
		g, e := newGateway(t, p, plain)
		set(t, e, "logging.level", "debug")
		set(t, e, "gateway.auth.token", "another-secret-1")
		set(t, e, "gateway.auth.token", "another-secret-2")
		for _, want := range []string{"another-secret-1", "sesame-12345678"} {
			r, err := e.Undo(t.Context(), gatewayconfig.How{}, false)
			if err != nil || g.at("gateway.auth.token") != want || g.at("logging.level") != "debug" {
				t.Fatalf("%v: the file is\n%s", err, g.read())
			}
			if s := fmt.Sprint(r.Changes); strings.Contains(s, "another-secret-") {
				t.Errorf("a secret is shown: %s", s)
			}
		}
		if _, err := e.Undo(t.Context(), gatewayconfig.How{}, false); err != nil || g.at("logging.level") != "info" {
			t.Fatalf("%v: the file is\n%s", err, g.read())
		}
		if p == offline && g.read() != plain {
			t.Errorf("not byte for byte:\n%s", g.read())
		}
		if _, err := e.Undo(t.Context(), gatewayconfig.How{}, false); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("got %v, want nothing to undo", err)
		}
	}
}

// TestUndoGoesBackInOrderAlsoWhenTheClockWasSetBack: the last edit is the last that was made.
func TestUndoGoesBackInOrderAlsoWhenTheClockWasSetBack(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	g, _ := newGateway(t, offline, plain)
	e := gatewayconfig.New(gatewayconfig.Options{
		Gateway: g, Path: func() (string, error) { return g.path, nil }, Dir: filepath.Join(t.TempDir(), "edits"),
		Keep: 3,
		Now:  func() time.Time { return now },
	})
	for _, level := range []string{"debug", "trace", "warn", "error"} {
		set(t, e, "logging.level", level)
	}
	now = now.Add(-24 * time.Hour)
	set(t, e, "logging.level", "fatal")
	set(t, e, "logging.level", "silent")
	for _, want := range []string{"fatal", "error", "warn"} {
		if _, err := e.Undo(t.Context(), gatewayconfig.How{}, false); err != nil || g.at("logging.level") != want {
			t.Fatalf("want %s: %v: the file is\n%s", want, err, g.read())
		}
	}
}

func TestUndoLeavesLaterChangesOfOthers(t *testing.T) {
	for _, p := range []gatewayconfig.Presence{online, offline} {
		g, e := newGateway(t, p, plain)
		set(t, e, "logging.level", "debug")
		g.write(strings.Replace(g.read(), "local", "remote", 1))
		if _, err := e.Undo(t.Context(), gatewayconfig.How{}, false); err != nil ||
			g.at("gateway.mode") != "remote" || g.at("logging.level") != "info" {
			t.Fatalf("%v: the file is\n%s", err, g.read())
		}
		set(t, e, "logging.level", "debug")
		g.write(strings.Replace(g.read(), "debug", "trace", 1))
		_, err := e.Undo(t.Context(), gatewayconfig.How{}, false)
		if fault.CodeOf(err) != fault.Conflict || g.at("logging.level") != "trace" {
			t.Fatalf("%v: the file is\n%s", err, g.read())
		}
		if _, err := e.Undo(t.Context(), gatewayconfig.How{}, true); err != nil || g.at("logging.level") != "info" {
			t.Fatalf("%v: the file is\n%s", err, g.read())
		}
	}
}

func TestUndoOfAFirstWriteRemovesTheFile(t *testing.T) {
	g, e := newGateway(t, offline, "")
	set(t, e, "gateway.mode", "local")
	if g.at("gateway.mode") != "local" {
		t.Fatalf("the file is\n%s", g.read())
	}
	if _, err := e.Undo(t.Context(), gatewayconfig.How{}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(g.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestCopiesArePrivateAndBounded(t *testing.T) {
	g, e := newGateway(t, offline, plain)
	for i := range 6 {
		set(t, e, "n", i)
	}
	dir := filepath.Join(filepath.Dir(g.path), "edits", "main")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("kept %v, %v, want 3", entries, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
}

func TestResultsAndErrorsHoldNoSecrets(t *testing.T) {
	_, e := newGateway(t, offline, plain)
	r := set(t, e, "channels.telegram",
		map[string]any{
			"botToken": "very-secret-9", "url": "https://me:very-secret-9@example.org/x",
			"keys": map[string]any{"apiKey": []any{"very-secret-9"}},
		})
	for _, at := range []string{"gateway.auth.token", ""} {
		v, err := e.Get(t.Context(), path(t, at))
		if err != nil || strings.Contains(fmt.Sprint(v.Value), "sesame") ||
			strings.Contains(fmt.Sprint(v.Value), "very-secret-9") {
			t.Errorf("get %q: %v, %v", at, v.Value, err)
		}
	}
	for _, c := range r.Changes {
		if s := fmt.Sprint(c.Before, c.After); strings.Contains(s, "very-secret-9") {
			t.Errorf("shown: %s", s)
		}
	}
}

func TestRestartIsForetold(t *testing.T) {
	g, e := newGateway(t, online, plain)
	g.Restarts = "gateway.bind"
	if r := set(t, e, "gateway.bind", "lan"); r.RequiresRestart == nil || !*r.RequiresRestart {
		t.Errorf("got %+v", r)
	}
	g.Restarts = "tools.x.y"
	if r := set(t, e, "tools", map[string]any{"x": map[string]any{"y": 1}}); r.RequiresRestart == nil ||
		!*r.RequiresRestart {
		t.Errorf("an object that holds such a value: %+v", r)
	}
}

func TestGivenUpEditWritesNothing(t *testing.T) {
	for _, p := range []gatewayconfig.Presence{online, offline} {
		g, e := newGateway(t, p, plain)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := e.Edit(ctx, gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
			c["a"] = 1
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) || g.read() != plain {
			t.Errorf("got %v, the file is\n%s", err, g.read())
		}
	}
}

func TestLinkToTheFileStaysALink(t *testing.T) {
	g, e := newGateway(t, offline, plain)
	real := g.path + ".real"
	if err := os.Rename(g.path, real); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, g.path); err != nil {
		t.Fatal(err)
	}
	set(t, e, "a", 1)
	if info, err := os.Lstat(g.path); err != nil || info.Mode().Type() != os.ModeSymlink ||
		g.at("a") != json.Number("1") {
		t.Errorf("%v: %v", err, info.Mode())
	}
}

func TestLaunchDoesNotWaitForAnEditThatWaitsForIt(t *testing.T) {
	g, e := newGateway(t, between, plain)
	waiting := make(chan struct{})
	looked := sync.OnceFunc(func() { close(waiting) })
	launched := false
	g.OnPresence = func(int) gatewayconfig.Presence {
		looked()
		return map[bool]gatewayconfig.Presence{true: online, false: between}[launched]
	}
	done := make(chan error, 1) // 1: the edit does not wait for the test
	go func() {
		_, err := e.Edit(context.Background(), gatewayconfig.How{}, gatewayconfig.Set([]string{"a"}, 1))
		done <- err
	}()
	<-waiting
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // only a deadlock reaches it
	defer cancel()
	if _, err := e.Edit(ctx, gatewayconfig.How{Launching: true}, gatewayconfig.Align(
		gatewayconfig.Access{FileToken: "theirs"}, "ours")); err != nil {
		t.Error(err)
	}
	g.mu.Lock()
	launched = true
	g.mu.Unlock()
	if err := <-done; err != nil || g.at("gateway.auth.token") != "ours" || g.at("a") != json.Number("1") {
		t.Errorf("%v: the file is\n%s", err, g.read())
	}
}

// An edit in place that was cut off by the end of the host is completed by the next one; what another program wrote
// since is left alone.
func TestEditThatWasCutOffIsCompleted(t *testing.T) {
	const before, wanted = `{"a": 1, "b": "old"}`, `{"a": 2, "b": "the new one"}`
	for name, row := range map[string]struct{ now, after string }{
		"before the write":    {before, before},
		"in the middle":       {wanted[:8] + before[8:] + wanted[len(before):], wanted},
		"only what is longer": {before + wanted[len(before):], wanted},
		"after the write":     {wanted, wanted},
		"another program":     {`{"c": 3}`, `{"c": 3}`},
	} {
		t.Run(name, func(t *testing.T) {
			g, e := newGateway(t, offline, before)
			if _, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Merge(map[string]any{
				"a": json.Number("2"), "b": "the new one",
			})); err != nil || g.read() != wanted {
				t.Fatalf("%v: %s", err, g.read())
			}
			g.cutOff()
			g.write(row.now)
			next := g.editor()
			if err := next.Recover(g.path); err != nil || g.read() != row.after {
				t.Errorf("%v: the file is %s", err, g.read())
			}
			_, err := next.Undo(t.Context(), gatewayconfig.How{}, false)
			if row.after == wanted && (err != nil || g.read() != before) {
				t.Errorf("undo: %v, %s", err, g.read())
			}
			if row.after != wanted && err == nil {
				t.Error("what was not made can be undone")
			}
			if err := next.Recover(g.path); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// cutOff makes the newest record that of an edit whose host ended before it was over.
func (g *gateway) cutOff() {
	g.t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(g.path), "edits", "main", "*.json"))
	if err != nil || len(files) != 1 {
		g.t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		g.t.Fatal(err)
	}
	var rec map[string]any
	if err := json.Unmarshal(data, &rec); err != nil {
		g.t.Fatal(err)
	}
	rec["wanted"] = rec["after"]
	delete(rec, "after")
	if data, err = json.Marshal(rec); err == nil {
		err = os.WriteFile(files[0], data, 0o600)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}
