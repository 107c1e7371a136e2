package shim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/shim/process"
)

// RecoverBundle opens a bundle as OpenBundle does. When its files cannot be read, or state.json is missing although a
// shim has begun, it finds the state by what lives: the shim, which answers at the socket that follows from the
// bundle's place, or the processes that carry the launch's id. Then it renames the unreadable files to
// NAME.broken-UNIXTIME and writes them anew. When nothing of the launch lives it changes nothing and fails as
// OpenBundle does (see Quarantine). Any number of processes may do this at once.
func RecoverBundle(ctx context.Context, runtimeDir, dir string) (Bundle, error) {
	b, err := OpenBundle(dir)
	if !recoverable(b, err) {
		return b, err
	}
	lock, lockErr := lockFolder(dir)
	for lockErr == nil && lock == nil { // another process recovers it
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return b, err
		}
		lock, lockErr = lockFolder(dir)
	}
	if lockErr != nil {
		return b, err
	}
	defer lock.Close()
	if b, err = OpenBundle(dir); !recoverable(b, err) {
		return b, err
	}
	if recoverErr := recoverFiles(ctx, runtimeDir, dir); recoverErr != nil {
		if err != nil {
			b.Problem = fmt.Errorf("%w; %w", b.Problem, recoverErr)
			err = b.Problem
		}
		return b, err
	}
	return OpenBundle(dir)
}

// recoverable reports whether b is a folder of ours whose files do not say what a living shim or gateway could say.
func recoverable(b Bundle, err error) bool {
	switch {
	case errors.Is(err, ErrNoBundle):
		return false
	case err != nil:
		fi, statErr := os.Lstat(b.Dir)
		return statErr == nil && fi.IsDir() && checkLaunchID(b.LaunchID) == nil
	default:
		_, lockErr := os.Lstat(filepath.Join(b.Dir, lockFile))
		return b.Status == StatusNew && lockErr == nil
	}
}

// errNothingLives says that there is nothing to recover a bundle from.
var errNothingLives = errors.New("nothing of it was found alive")

func recoverFiles(ctx context.Context, runtimeDir, dir string) error {
	id := filepath.Base(dir)
	var state State
	spec, specErr := readSpec(dir)
	stateErr := readJSON(filepath.Join(dir, stateFile), &state)
	if stateErr == nil {
		stateErr = state.check(id)
	}
	_, exitErr := readExit(dir)
	if stateErr != nil {
		if specErr != nil {
			spec = SavedSpec{}
		}
		var err error
		if state, err = findState(ctx, runtimeDir, dir, spec); err != nil {
			return err
		}
		if err := replace(dir, stateFile, state); err != nil {
			return err
		}
	}
	if specErr != nil && !errors.Is(specErr, fs.ErrNotExist) {
		// The names of the environment's variables are lost; the hash, by which a launch is idempotent, is kept.
		saved := SavedSpec{
			LaunchID: id, Hash: state.SpecHash, Argv: state.Argv, Labels: state.Labels,
			Created: state.StartedAt,
		}
		if err := replace(dir, specFile, saved); err != nil {
			return err
		}
	}
	// a living shim has it open, and will overwrite it
	where, err := state.where(dir)
	if exitErr != nil && err == nil && where.elsewhere == "" && !(where.here && state.Shim.Alive()) {
		return setAsideFile(dir, exitFile)
	}
	return nil
}

// replace renames a file out of the way, if it exists, and writes it anew.
func replace(dir, name string, v any) error {
	if err := setAsideFile(dir, name); err != nil {
		return err
	}
	return writeDurably(filepath.Join(dir, name), v)
}

func setAsideFile(dir, name string) error {
	path := filepath.Join(dir, name)
	err := os.Rename(path, path+".broken-"+strconv.FormatInt(time.Now().Unix(), 10))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// helloBound is how long a shim has to answer: a stopped one accepts the connection and is silent.
const helloBound = 2 * time.Second

// findState finds the state of a launch without its file.
func findState(ctx context.Context, runtimeDir, dir string, spec SavedSpec) (State, error) {
	id, socket := filepath.Base(dir), SocketPath(runtimeDir, dir)
	bounded, cancel := context.WithTimeout(ctx, helloBound)
	defer cancel()
	for {
		state, err := askHello(bounded, dir, socket)
		if err == nil {
			err = state.check(id)
		}
		if err != nil {
			break
		}
		if state.Phase == PhaseStarting { // it is about to write the file itself
			if sleep(bounded, 20*time.Millisecond) == nil {
				continue
			}
			break
		}
		state.Exit, state.OutputEnd, state.OutputLost, state.OutputFault = nil, 0, 0, "" // these are never on disk
		return state, nil
	}
	if err := ctx.Err(); err != nil {
		return State{}, context.Cause(ctx)
	}
	return stateOfMarked(socket, dir, spec)
}

// stateOfMarked makes a state from the processes that carry the launch's id. Why they are the launch's: ids are UUIDs,
// made by a host in a folder that only its user can enter; the mark beside the id names the shim; the processes run as
// our user, and are not older than the bundle.
func stateOfMarked(socket, dir string, spec SavedSpec) (State, error) {
	id := filepath.Base(dir)
	since, err := madeBefore(dir)
	if err != nil {
		return State{}, err
	}
	here, err := process.Here()
	if err != nil {
		return State{}, err
	}
	q := process.Query{Env: EnvLaunchID + "=" + id}
	if g, err := process.FindGroup(GroupName(id)); err == nil {
		q.Group = &g
	}
	marked, err := process.Find(q)
	if err != nil {
		return State{}, err
	}
	state := State{
		Version: ProtocolVersion, LaunchID: id, Phase: PhaseRunning, Socket: socket, Argv: spec.Argv,
		SpecHash: spec.Hash, Labels: spec.Labels,
	}
	state.At(here)
	for _, p := range eldestFirst(marked) {
		began, err := p.Began()
		shim, ok := shimOf(p, id)
		if err != nil || !ok || began.Before(since) || !isUUID(id) {
			continue
		}
		state.Gateway, state.Shim, state.StartedAt = p, shim, began.UTC()
		if g, err := process.GroupOf(p.PID, GroupName(id)); err == nil {
			state.Group = &g
		}
		return state, nil
	}
	if len(marked) > 0 {
		return State{},
			fmt.Errorf(
				"%v carries its launch id or is in its control group, but it cannot be proved that it is of this launch",
				marked[0])
	}
	return State{}, errNothingLives
}

// eldestFirst orders processes so that a gateway comes before its children. Start times count in hundredths of a
// second: of two processes that began in the same one, the one with fewer of the others above it is the elder.
func eldestFirst(all []process.Identity) []process.Identity {
	type age struct {
		began time.Time
		depth int
	}
	known := make(map[int]bool, len(all))
	for _, p := range all {
		known[p.PID] = true
	}
	ages := make(map[process.Identity]age, len(all))
	for _, p := range all {
		a := age{}
		a.began, _ = p.Began() // one that has ended meanwhile is skipped later
		for up := p; a.depth < len(all); a.depth++ {
			parent, err := up.Parent()
			if err != nil || !known[parent] {
				break
			}
			if up, err = process.Identify(parent); err != nil {
				break
			}
		}
		ages[p] = a
	}
	slices.SortStableFunc(all, func(a, b process.Identity) int {
		return cmp.Or(ages[a].began.Compare(ages[b].began), ages[a].depth-ages[b].depth)
	})
	return all
}

// shimOf reads the shim's identity from a process's mark.
func shimOf(p process.Identity, launchID string) (process.Identity, bool) {
	mark, ok := p.Env(EnvMark)
	if !ok {
		return process.Identity{}, false
	}
	rest, ok := strings.CutPrefix(mark, launchID+":")
	pid, start, found := strings.Cut(rest, ":")
	n, err := strconv.Atoi(pid)
	if !ok || !found || err != nil || n <= 1 || start == "" {
		return process.Identity{}, false
	}
	return process.Identity{PID: n, StartTime: start}, true
}

// clockSlack is more than the largest difference between the time of a process and the time of a file.
const clockSlack = 2 * time.Second

// madeBefore returns a time before which nothing of a launch can have been started: the bundle is made before its first
// process, and its oldest file says when.
func madeBefore(dir string) (time.Time, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return time.Time{}, err
	}
	var oldest time.Time
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && (oldest.IsZero() || fi.ModTime().Before(oldest)) {
			oldest = fi.ModTime()
		}
	}
	return oldest.Add(-clockSlack), nil
}

// isUUID reports whether id has the form of RFC 9562.
func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, r := range id {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (r == '-') ||
			(!dash && !strings.ContainsRune("0123456789abcdefABCDEF", r)) {
			return false
		}
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Names of quarantined bundles.
const (
	quarantineDir   = ".broken"      // in the run directory
	quarantineWhy   = "broken.txt"   // in a bundle there
	quarantineToday = 24 * time.Hour // how long it is reported
)

// Quarantined is a bundle that was moved aside.
type Quarantined struct{ Dir, Reason string }

// Quarantine moves a bundle that cannot be read, and of which nothing lives, to <run>/.broken/<launch id>-<unixtime>,
// so that later launches and lists do not meet it. It is never removed: it may be the only trace of what happened, and
// has the rest of the gateway's output. Errors: ErrRunning when something of it may live; ErrNoBundle; it refuses a
// bundle that is not broken.
func Quarantine(ctx context.Context, runtimeDir, dir string) (Quarantined, error) {
	fail := func(err error) (Quarantined, error) {
		return Quarantined{}, fmt.Errorf("cannot quarantine launch bundle %s: %w", dir, err)
	}
	b, problem := RecoverBundle(ctx, runtimeDir, dir)
	switch {
	case errors.Is(problem, ErrNoBundle):
		return Quarantined{}, problem
	case problem == nil || b.Status != StatusBroken:
		return fail(errors.New("it can be read"))
	case !recoverable(b, problem):
		return fail(errors.New("it is none of ours"))
	case !errors.Is(problem, errNothingLives):
		return fail(problem)
	}
	lock, err := Lock(dir)
	if err != nil {
		return fail(err)
	}
	if lock == nil {
		return fail(fmt.Errorf("%w: a shim holds its lock", ErrRunning))
	}
	defer lock.Close()
	if lockOf(dir, aliveFile) == lockHeld {
		return fail(fmt.Errorf("%w: its process in another pid namespace holds a lock", ErrRunning))
	}
	run := filepath.Dir(dir)
	moved := Quarantined{
		Dir:    filepath.Join(run, quarantineDir, filepath.Base(dir)+"-"+strconv.FormatInt(time.Now().Unix(), 10)),
		Reason: problem.Error(),
	}
	if err := os.MkdirAll(filepath.Dir(moved.Dir), 0o700); err != nil {
		return fail(err)
	}
	if err := os.WriteFile(filepath.Join(dir, quarantineWhy), []byte(moved.Reason+"\n"), 0o600); err != nil {
		return fail(err)
	}
	if err := os.Rename(dir, moved.Dir); err != nil {
		return fail(err)
	}
	if err := errors.Join(syncDir(run), syncDir(filepath.Dir(moved.Dir))); err != nil {
		return fail(err)
	}
	_ = os.Remove(SocketPath(runtimeDir, dir)) // no process is behind it
	if g, err := process.FindGroup(GroupName(filepath.Base(dir))); err == nil {
		_ = g.Remove() // no process is in it
	}
	return moved, nil
}

// ListQuarantined lists the bundles that were quarantined in the last day, so that every caller of that day learns of
// them; older ones stay on disk and are not reported.
func ListQuarantined(runDir string) []Quarantined {
	entries, err := os.ReadDir(filepath.Join(runDir, quarantineDir))
	if err != nil {
		return nil
	}
	var all []Quarantined
	for _, e := range entries {
		dir := filepath.Join(runDir, quarantineDir, e.Name())
		at, err := strconv.ParseInt(e.Name()[strings.LastIndexByte(e.Name(), '-')+1:], 10, 64)
		if err != nil || time.Since(time.Unix(at, 0)) > quarantineToday {
			continue
		}
		why, err := readFile(filepath.Join(dir, quarantineWhy), maxFile)
		if err != nil {
			why = []byte("its reason cannot be read: " + err.Error())
		}
		all = append(all, Quarantined{Dir: dir, Reason: strings.TrimSpace(string(why))})
	}
	return all
}
