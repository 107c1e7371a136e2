//go:build unix

package shim

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim/outlog"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// self is a living process, and gone one that has ended.
func self(t *testing.T) process.Identity {
	t.Helper()
	id, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func gone(t *testing.T) process.Identity {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = cmd.Process.Kill(), cmd.Wait()
	return id
}

// made writes the state of a launch into a new bundle.
func made(t *testing.T, change func(*State)) string {
	t.Helper()
	boot, err := process.BootID()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "one")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := State{Version: 1, LaunchID: "one", Phase: PhaseRunning, BootID: boot, Shim: gone(t), Gateway: gone(t)}
	if change != nil {
		change(&s)
	}
	if err := WriteState(dir, s); err != nil {
		t.Fatal(err)
	}
	return dir
}

func putFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const exited = `{"code":3,"at":"2026-11-23T12:00:00Z","end_offset":5,"final":true,"durable":true}`

func TestStatusFollowsFromFilesAndProcesses(t *testing.T) {
	living := self(t)
	for name, row := range map[string]struct {
		change func(*State)
		exit   string
		status Status
		detail string
	}{
		"running":            {func(s *State) { s.Shim, s.Gateway = living, living }, "", StatusRunning, ""},
		"starting":           {func(s *State) { s.Shim, s.Phase = living, PhaseStarting }, "", StatusStarting, ""},
		"ended under a shim": {func(s *State) { s.Shim = living }, exited, StatusEnded, ""},
		"ended":              {nil, exited, StatusEnded, ""},
		"ended unseen":       {nil, "", StatusEnded, "ended unseen: its shim ended first"},
		"without its shim":   {func(s *State) { s.Gateway = living }, "", StatusUnwatched, "is gone"},
		"without a gateway": {
			func(s *State) { s.Gateway = process.Identity{} }, "", StatusFailed, "before there was a gateway",
		},
		"failed": {func(s *State) { s.Phase = PhaseFailed }, "", StatusFailed, "launch failed"},
		"failed for a reason": {
			func(s *State) { s.Phase, s.Failure = PhaseFailed, Failf(CodeNotFound, "why") }, "", StatusFailed, "why",
		},
		"of another boot": {
			func(s *State) { s.BootID, s.Shim, s.Gateway = "another", living, living }, "", StatusEnded,
			"ended unseen: the machine was started anew",
		},
	} {
		dir := made(t, row.change)
		if row.exit != "" {
			putFile(t, filepath.Join(dir, exitFile), row.exit)
		}
		b, err := OpenBundle(dir)
		if err != nil || b.Status != row.status || !strings.Contains(b.Detail, row.detail) ||
			row.detail == "" && b.Detail != "" || (b.Exit != nil) != (row.exit != "") {
			t.Errorf("%s: %v %q, exit %v, %v", name, b.Status, b.Detail, b.Exit, err)
		}
	}
}

func TestStatesThatNameNothingAreBroken(t *testing.T) {
	living := self(t)
	for name, change := range map[string]func(*State){
		"no version":        func(s *State) { s.Version = 0 },
		"another launch":    func(s *State) { s.LaunchID = "two" },
		"no shim":           func(s *State) { s.Shim.PID = 0 },
		"a shim of all":     func(s *State) { s.Shim.PID = -1 },
		"no start of it":    func(s *State) { s.Shim.StartTime = "" },
		"no boot":           func(s *State) { s.BootID = "" },
		"a gateway of all":  func(s *State) { s.Gateway.PID = -1 },
		"no start of that":  func(s *State) { s.Gateway.StartTime = "" },
		"no start of ours":  func(s *State) { s.Gateway = process.Identity{PID: living.PID} },
		"no start, no shim": func(s *State) { s.Shim = process.Identity{} },
	} {
		if b, err := OpenBundle(made(t, change)); !errors.Is(err, ErrBroken) || b.Status != StatusBroken || b.State != nil {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}

// TestAnExitThatCannotBeReadMattersWithoutAShimOnly: a living one tells it itself.
func TestAnExitThatCannotBeReadMattersWithoutAShimOnly(t *testing.T) {
	for _, alive := range []bool{true, false} {
		dir := made(t, func(s *State) {
			if alive {
				s.Shim = self(t)
			}
		})
		putFile(t, filepath.Join(dir, exitFile), "{half")
		if b, err := OpenBundle(dir); (err == nil) != alive || alive && b.Status != StatusRunning {
			t.Errorf("shim alive %v: %v, %v", alive, b.Status, err)
		}
	}
}

// TestOutputOfAnEndedLaunchSaysWhetherItIsWhole.
func TestOutputOfAnEndedLaunchSaysWhetherItIsWhole(t *testing.T) {
	for exit, truncated := range map[string]bool{
		exited: false, "": true, strings.Replace(exited, `"final":true`, `"final":false`, 1): true,
		strings.Replace(exited, `"final"`, `"truncated":true,"final"`, 1): true,
	} {
		dir := made(t, nil)
		w, err := outlog.Create(dir, outlog.MinSize)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // it turns: the beginning is lost
			w.Append(outlog.Stdout, time.Unix(1, 0), bytes.Repeat([]byte("x"), outlog.MaxData))
		}
		w.Close()
		if exit != "" {
			putFile(t, filepath.Join(dir, exitFile), exit)
		}
		b, err := OpenBundle(dir)
		if err != nil {
			t.Fatal(err)
		}
		var gaps, records int
		var end End
		err = b.Output(t.Context(), 0, func(item Item) error {
			switch item := item.(type) {
			case Gap:
				gaps++
			case Record:
				records++
			case End:
				end = item
			}
			return nil
		})
		if err != nil || gaps != 1 || records == 0 || end.Truncated != truncated || end.Running ||
			end.EndOffset != 20*outlog.MaxData {
			t.Errorf("exit %s: %d gaps, %d records, end %+v, %v", exit, gaps, records, end, err)
		}
		enough := errors.New("enough")
		for _, of := range []func(Item) bool{
			func(i Item) bool { _, ok := i.(Gap); return ok }, func(i Item) bool { _, ok := i.(Record); return ok },
			func(i Item) bool { _, ok := i.(End); return ok },
		} {
			if err := b.Output(t.Context(), 0, func(item Item) error {
				if of(item) {
					return enough
				}
				return nil
			}); !errors.Is(err, enough) {
				t.Errorf("the sink's error: %v", err)
			}
		}
	}
}

// TestOnlyALivingGatewayIsSignalled by a bundle whose shim is gone.
func TestOnlyALivingGatewayIsSignalled(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	dir := made(t, func(s *State) { s.Gateway = id })
	b, err := OpenBundle(dir)
	if err != nil || b.Status != StatusUnwatched {
		t.Fatalf("%+v, %v", b, err)
	}
	if err := b.Signal("SIGNOTHING"); !errors.Is(err, ErrBadSignal) {
		t.Errorf("a signal that is none: %v", err)
	}
	if err := b.Signal("SIGTERM"); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("it ended by %v", err)
	}
	if err := b.Signal("SIGTERM"); !errors.Is(err, ErrEnded) {
		t.Errorf("after its end: %v", err)
	}
	if b, err = OpenBundle(dir); err != nil {
		t.Fatal(err)
	}
	if err := b.Signal("SIGTERM"); !errors.Is(err, ErrEnded) {
		t.Errorf("of a launch that has ended: %v", err)
	}
}

// TestOnlyASocketOfALaunchIsRemovedWithIt: a file must not be able to name another one.
func TestOnlyASocketOfALaunchIsRemovedWithIt(t *testing.T) {
	place := t.TempDir()
	t.Chdir(place)
	for name, removed := range map[string]bool{
		filepath.Join(place, "a.shim"): true, filepath.Join(place, "precious"): false, "relative.shim": false,
	} {
		putFile(t, filepath.Join(place, filepath.Base(name)), "")
		dir := made(t, func(s *State) { s.Socket = name })
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(place, filepath.Base(name))); errors.Is(err, fs.ErrNotExist) != removed {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the bundle is there: %v", err)
		}
	}
	fresh := filepath.Join(place, "fresh")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Remove(fresh); err != nil {
		t.Errorf("a launch that never began: %v", err)
	}
	if err := Remove(fresh); err != nil {
		t.Errorf("a launch that is gone: %v", err)
	}
	for name, change := range map[string]func(*State){
		"a gateway": func(s *State) { s.Gateway = self(t) },
		"a shim":    func(s *State) { s.Shim, s.Phase = self(t), PhaseFailed },
	} {
		if err := Remove(made(t, change)); !errors.Is(err, ErrRunning) {
			t.Errorf("%s lives: %v", name, err)
		}
	}
}

func TestALaunchHasBegunWhenSomethingOfItRan(t *testing.T) {
	for name, row := range map[string]struct {
		b     Bundle
		begun bool
	}{
		"no state":         {Bundle{}, false},
		"a dead shim":      {Bundle{State: &State{Phase: PhaseStarting}}, false},
		"a living shim":    {Bundle{State: &State{Phase: PhaseStarting}, ShimAlive: true}, true},
		"a gateway":        {Bundle{State: &State{Phase: PhaseStarting, Gateway: process.Identity{PID: 7}}}, true},
		"a failed launch":  {Bundle{State: &State{Phase: PhaseFailed}}, true},
		"a shim, no state": {Bundle{ShimAlive: true}, false},
	} {
		if got := row.b.begun(); got != row.begun {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAStateThatIsGoneIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "one")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := taken(t.Context(), dir, false); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("error = %v", err)
	}
}

func TestDirectoriesThatAreMissingAreToldAsSuch(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, locked := lockFolder(missing)
	for name, err := range map[string]error{"sync": syncDir(missing), "lock": locked} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneLongLineHoldsNoMemory(t *testing.T) {
	var r LineReader
	none := func(Line) error { return nil }
	record := func(text string) {
		t.Helper()
		if err := r.Record(outlog.Record{Stream: outlog.Stdout, Data: []byte(text)}, none); err != nil {
			t.Fatal(err)
		}
	}
	record("short")
	record("\n")
	if cap(r.streams[0].text) == 0 {
		t.Error("the memory of a short line is not used again")
	}
	record(strings.Repeat("x", 20<<10))
	record("\n")
	if held := cap(r.streams[0].text); held > 4<<10 {
		t.Errorf("%d bytes are held", held)
	}
}

func TestBothStreamsAreFlushed(t *testing.T) {
	var r LineReader
	var got []string
	take := func(l Line) error { got = append(got, l.Text); return nil }
	for _, rec := range []outlog.Record{
		{Stream: outlog.Stdout, Data: []byte("out")}, {Offset: 3, Stream: outlog.Stderr, Data: []byte("err")},
	} {
		if err := r.Record(rec, take); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Flush(6, take); err != nil || strings.Join(got, " ") != "out err" {
		t.Errorf("%q, %v", got, err)
	}
	enough := errors.New("enough")
	_ = r.Record(outlog.Record{Offset: 6, Stream: outlog.Stdout, Data: []byte("out")}, take)
	if err := r.Flush(9, func(Line) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the sink's error: %v", err)
	}
}

func TestSpecsAtTheirBounds(t *testing.T) {
	negative, zero := -time.Nanosecond, time.Duration(0)
	labels := func(n, size int) map[string]string {
		out := map[string]string{}
		for i := range n {
			out[string(rune('a'+i%26))+string(rune('a'+i/26))] = ""
		}
		if n > 0 {
			out["aa"] = strings.Repeat("x", size-2*n)
		}
		return out
	}
	good := Spec{LaunchID: "one", Argv: []string{"x"}, Socket: "/s"}
	for name, row := range map[string]struct {
		change func(*Spec)
		ok     bool
	}{
		"the smallest":         {func(*Spec) {}, true},
		"no id":                {func(s *Spec) { s.LaunchID = "" }, false},
		"a long id":            {func(s *Spec) { s.LaunchID = strings.Repeat("x", 64) }, true},
		"a longer id":          {func(s *Spec) { s.LaunchID = strings.Repeat("x", 65) }, false},
		"a hidden id":          {func(s *Spec) { s.LaunchID = ".x" }, false},
		"a path as an id":      {func(s *Spec) { s.LaunchID = "a/b" }, false},
		"no argv":              {func(s *Spec) { s.Argv = nil }, false},
		"an empty program":     {func(s *Spec) { s.Argv = []string{"", "x"} }, false},
		"long argv":            {func(s *Spec) { s.Argv = []string{strings.Repeat("x", maxArgvBytes)} }, true},
		"longer argv":          {func(s *Spec) { s.Argv = []string{strings.Repeat("x", maxArgvBytes+1)} }, false},
		"a NUL in argv":        {func(s *Spec) { s.Argv = []string{"x", "\x00"} }, false},
		"a variable":           {func(s *Spec) { s.Env = []EnvVar{{Name: "A", Value: "=b"}} }, true},
		"no name":              {func(s *Spec) { s.Env = []EnvVar{{Value: "b"}} }, false},
		"a = in a name":        {func(s *Spec) { s.Env = []EnvVar{{Name: "A=", Value: "b"}} }, false},
		"a NUL in a value":     {func(s *Spec) { s.Env = []EnvVar{{Name: "A", Value: "\x00"}} }, false},
		"much input":           {func(s *Spec) { s.Stdin = make([]byte, MaxStdin) }, true},
		"more input":           {func(s *Spec) { s.Stdin = make([]byte, MaxStdin+1) }, false},
		"a directory":          {func(s *Spec) { s.Cwd = "/x" }, true},
		"a relative directory": {func(s *Spec) { s.Cwd = "x" }, false},
		"many labels":          {func(s *Spec) { s.Labels = labels(maxLabels, 2*maxLabels) }, true},
		"more labels":          {func(s *Spec) { s.Labels = labels(maxLabels+1, 2*maxLabels+2) }, false},
		"long labels":          {func(s *Spec) { s.Labels = labels(2, maxLabelBytes) }, true},
		"longer labels":        {func(s *Spec) { s.Labels = labels(2, maxLabelBytes+1) }, false},
		"little output":        {func(s *Spec) { s.OutputMaxBytes = outlog.MinSize }, true},
		"less output":          {func(s *Spec) { s.OutputMaxBytes = outlog.MinSize - 1 }, false},
		"much output":          {func(s *Spec) { s.OutputMaxBytes = outlog.MaxSize }, true},
		"more output":          {func(s *Spec) { s.OutputMaxBytes = outlog.MaxSize + 1 }, false},
		"times of zero":        {func(s *Spec) { s.OrphanGrace, s.Linger = &zero, &zero }, true},
		"a negative grace":     {func(s *Spec) { s.Grace = negative }, false},
		"a negative orphan":    {func(s *Spec) { s.OrphanGrace = &negative }, false},
		"a negative linger":    {func(s *Spec) { s.Linger = &negative }, false},
		"no socket":            {func(s *Spec) { s.Socket = "" }, false},
		"a relative socket":    {func(s *Spec) { s.Socket = "s" }, false},
		"a long socket":        {func(s *Spec) { s.Socket = "/" + strings.Repeat("x", maxSocketPath-1) }, true},
		"a longer socket":      {func(s *Spec) { s.Socket = "/" + strings.Repeat("x", maxSocketPath) }, false},
	} {
		s := good
		row.change(&s)
		if err := s.Validate(); (err == nil) != row.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUUIDs(t *testing.T) {
	const id = "0190c3a2-7b1e-7c3d-9A4F-0123456789ab"
	if !isUUID(id) {
		t.Errorf("%s is none", id)
	}
	for i := range id {
		for _, put := range []string{"-", "g", "0", ""} {
			other := id[:i] + put + id[i+1:]
			want := len(other) == len(id) && (id[i] == '-') == (put == "-") && put != "g"
			if isUUID(other) != want {
				t.Errorf("%s: %v", other, !want)
			}
		}
	}
}

// TestAReleaseWaitsForAShimThatDoesNotAnswer: its socket is gone, and its process may be about to end.
func TestAReleaseWaitsForAShimThatDoesNotAnswer(t *testing.T) {
	dir := made(t, func(s *State) { s.Shim = self(t) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := &Client{dir: dir, launchID: "one", socket: filepath.Join(dir, "none.shim")}
	if err := c.Release(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its process lives: %v", err)
	}
	over := &Client{dir: made(t, nil), launchID: "one", socket: filepath.Join(dir, "none.shim")}
	if err := over.Release(t.Context()); err != nil {
		t.Errorf("its process has ended: %v", err)
	}
	lost := &Client{dir: filepath.Join(dir, "missing"), launchID: "missing", socket: filepath.Join(dir, "none.shim")}
	if err := lost.Release(t.Context()); err != nil {
		t.Errorf("its bundle is gone: %v", err)
	}
}

// TestAnExitOfAnotherBootIsSetAside: the pid of its shim is another process's now.
func TestAnExitOfAnotherBootIsSetAside(t *testing.T) {
	dir := made(t, func(s *State) { s.BootID, s.Shim = "another", self(t) })
	putFile(t, filepath.Join(dir, exitFile), "{half")
	if b, err := RecoverBundle(t.Context(), filepath.Dir(dir), dir); err != nil || b.Status != StatusEnded {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestAParentIsElderThanAChildOfTheSameMoment: start times count in hundredths of a second.
func TestAParentIsElderThanAChildOfTheSameMoment(t *testing.T) {
	for range 100 {
		cmd := exec.Command("sh", "-c", "sleep 600 & wait")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		parent, err := process.Identify(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		q := process.Query{Roots: []process.Identity{parent}}
		var below []process.Identity
		for until := time.Now().Add(10 * time.Second); len(below) == 0 && time.Now().Before(until); {
			if below, err = process.Find(q); err != nil {
				t.Fatal(err)
			}
		}
		same := len(below) == 1 && below[0].StartTime == parent.StartTime
		if same {
			if got := eldestFirst([]process.Identity{below[0], parent}); got[0] != parent {
				t.Errorf("%v comes before its parent %v", got[0], parent)
			}
		}
		q.WithRoots = true
		if _, err := process.End(t.Context(), q, 0); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		if same {
			return
		}
	}
	t.Error("no child began in the moment of its parent")
}

// TestALaunchWithAGatewayIsDecided: who joins it waits for the gateway, and no longer.
func TestALaunchWithAGatewayIsDecided(t *testing.T) {
	for _, begun := range []bool{true, false} {
		dir := made(t, func(s *State) {
			if s.Shim, s.Phase, s.Gateway = self(t), PhaseStarting, (process.Identity{}); begun {
				s.Gateway = self(t)
			}
			s.Socket = filepath.Join(t.TempDir(), "none.shim")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := join(ctx, dir)
		cancel()
		if waited := errors.Is(err, context.DeadlineExceeded); waited == begun {
			t.Errorf("with a gateway %v: %v", begun, err)
		}
	}
}
