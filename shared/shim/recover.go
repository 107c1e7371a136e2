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

// RecoverBundle opens a bundle as OpenBundle does. When its files cannot be read, or state.json is gone although a shim has begun with it, it
// finds out from what lives: the shim, which answers at the socket that follows from the bundle's place, or else the processes that carry
// the launch's id. Then it sets the unreadable files aside as NAME.broken-UNIXTIME and writes them anew. When nothing of the launch lives it
// changes nothing and fails as OpenBundle does (see Quarantine). Any number of processes may mend at once.
func RecoverBundle(ctx context.Context, runtimeDir, dir string) (Bundle, error) {
	b, err := OpenBundle(dir)
	if !mendable(b, err) {
		return b, err
	}
	lock, lockErr := lockFolder(dir)
	for lockErr == nil && lock == nil { // somebody else is at it
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return b, err
		}
		lock, lockErr = lockFolder(dir)
	}
	if lockErr != nil {
		return b, err
	}
	defer lock.Close()
	if b, err = OpenBundle(dir); !mendable(b, err) {
		return b, err
	}
	if mendErr := mend(ctx, runtimeDir, dir); mendErr != nil {
		if err != nil {
			b.Problem = fmt.Errorf("%w; %w", b.Problem, mendErr)
			err = b.Problem
		}
		return b, err
	}
	return OpenBundle(dir)
}

// mendable reports whether b is a folder of ours whose files do not tell what a living shim or gateway could.
func mendable(b Bundle, err error) bool {
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

// errNothingLives says that there is nothing to mend a bundle from.
var errNothingLives = errors.New("nothing of it was found alive")

func mend(ctx context.Context, runtimeDir, dir string) error {
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
		// The names of the environment's variables are lost; the hash, by which a launch is idempotent, is not.
		saved := SavedSpec{LaunchID: id, Hash: state.SpecHash, Argv: state.Argv, Labels: state.Labels, Created: state.StartedAt}
		if err := replace(dir, specFile, saved); err != nil {
			return err
		}
	}
	if exitErr != nil && !(state.ofThisBoot() && state.Shim.Alive()) { // a living shim has it open, and will overwrite it
		return setAsideFile(dir, exitFile)
	}
	return nil
}

func (s State) ofThisBoot() bool {
	boot, err := process.BootID()
	return err == nil && boot == s.BootID
}

// replace sets a file aside, if there is one, and writes it anew.
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

// helloBound is how long a shim has to answer: one that was stopped accepts and is silent.
const helloBound = 2 * time.Second

// findState makes the state of a launch anew.
func findState(ctx context.Context, runtimeDir, dir string, spec SavedSpec) (State, error) {
	id, socket := filepath.Base(dir), SocketPath(runtimeDir, dir)
	bounded, cancel := context.WithTimeout(ctx, helloBound)
	defer cancel()
	for {
		state, err := askHello(bounded, id, socket)
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

// stateOfMarked makes a state from the processes that carry the launch's id. The proof that they are the launch's: ids are UUIDs, made by a
// host in a folder that only its user can enter; the mark beside it names the shim; they run as us, and are not older than the bundle.
func stateOfMarked(socket, dir string, spec SavedSpec) (State, error) {
	id := filepath.Base(dir)
	since, err := madeBefore(dir)
	if err != nil {
		return State{}, err
	}
	boot, err := process.BootID()
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
		Version: ProtocolVersion, LaunchID: id, Phase: PhaseRunning, BootID: boot, Socket: socket, Argv: spec.Argv,
		SpecHash: spec.Hash, Labels: spec.Labels,
	}
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
		return State{}, fmt.Errorf("%v carries its launch id or is in its control group, but it cannot be proved that it is of this launch", marked[0])
	}
	return State{}, errNothingLives
}

// eldestFirst orders processes so that a gateway comes before what it started. Start times count in hundredths of a second: of two that
// began in the same one, the one with fewer of the others above it is the elder.
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
		a.began, _ = p.Began() // one that is gone meanwhile is passed over later
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

// clockSlack is more than the time of a process and the time of a file may differ by.
const clockSlack = 2 * time.Second

// madeBefore is a time at which nothing of a launch can have been started yet: the bundle is made before its first process, and its oldest
// file says when.
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
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (r == '-') || (!dash && !strings.ContainsRune("0123456789abcdefABCDEF", r)) {
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

// Names for what is set aside.
const (
	asideDir   = ".broken"      // in the run directory
	asideWhy   = "broken.txt"   // in a bundle there
	asideToday = 24 * time.Hour // how long it is told of
)

// Quarantined is a bundle that was set aside.
type Quarantined struct{ Dir, Reason string }

// Quarantine moves a bundle that cannot be read, and of which nothing lives, out of the way of later launches and lists, to
// <run>/.broken/<launch id>-<unixtime>. It is never removed: it may be all that tells what happened, and the rest of the gateway's output is in
// it. Errors: ErrRunning when something of it may live; ErrNoBundle; it refuses what is no broken bundle.
func Quarantine(ctx context.Context, runtimeDir, dir string) (Quarantined, error) {
	fail := func(err error) (Quarantined, error) {
		return Quarantined{}, fmt.Errorf("cannot set aside launch bundle %s: %w", dir, err)
	}
	b, problem := RecoverBundle(ctx, runtimeDir, dir)
	switch {
	case errors.Is(problem, ErrNoBundle):
		return Quarantined{}, problem
	case problem == nil || b.Status != StatusBroken:
		return fail(errors.New("it can be read"))
	case !mendable(b, problem):
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
	run := filepath.Dir(dir)
	aside := Quarantined{
		Dir:    filepath.Join(run, asideDir, filepath.Base(dir)+"-"+strconv.FormatInt(time.Now().Unix(), 10)),
		Reason: problem.Error(),
	}
	if err := os.MkdirAll(filepath.Dir(aside.Dir), 0o700); err != nil {
		return fail(err)
	}
	if err := os.WriteFile(filepath.Join(dir, asideWhy), []byte(aside.Reason+"\n"), 0o600); err != nil {
		return fail(err)
	}
	if err := os.Rename(dir, aside.Dir); err != nil {
		return fail(err)
	}
	if err := errors.Join(syncDir(run), syncDir(filepath.Dir(aside.Dir))); err != nil {
		return fail(err)
	}
	_ = os.Remove(SocketPath(runtimeDir, dir)) // nobody is behind it
	if g, err := process.FindGroup(GroupName(filepath.Base(dir))); err == nil {
		_ = g.Remove() // nobody is in it
	}
	return aside, nil
}

// ListQuarantined lists what was set aside in the last day, so that whoever comes then learns of it; what is older stays without being told of.
func ListQuarantined(runDir string) []Quarantined {
	entries, err := os.ReadDir(filepath.Join(runDir, asideDir))
	if err != nil {
		return nil
	}
	var all []Quarantined
	for _, e := range entries {
		dir := filepath.Join(runDir, asideDir, e.Name())
		at, err := strconv.ParseInt(e.Name()[strings.LastIndexByte(e.Name(), '-')+1:], 10, 64)
		if err != nil || time.Since(time.Unix(at, 0)) > asideToday {
			continue
		}
		why, err := readFile(filepath.Join(dir, asideWhy), maxFile)
		if err != nil {
			why = []byte("its reason cannot be read: " + err.Error())
		}
		all = append(all, Quarantined{Dir: dir, Reason: strings.TrimSpace(string(why))})
	}
	return all
}
