//go:build unix

package shim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// patience is how long a test waits for what must happen; it is long because the box may be busy.
const patience = 30 * time.Second

var shimPath string //nolint:gochecknoglobals // set once by TestMain

// roles are programs that this test binary can be, chosen by its first argument.
var roles = map[string]func() int{} //nolint:gochecknoglobals // filled before TestMain runs

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if os.Getenv("SHIM_TEST_STARTER") != "" {
		return starter()
	}
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		return roles[os.Args[1]]()
	}
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shimPath = filepath.Join(dir, "gatehost-shim")
	if err := buildShim(shimPath, raceEnabled); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func buildShim(path string, race bool) error {
	args := []string{"build", "-o", path}
	if race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/gatehost/gatehost/cmd/gatehost-shim")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot build shim: %w: %s", err, out)
	}
	return nil
}

// starter is another process that launches what its standard input says, tells on standard output, and then waits to be
// killed.
func starter() int {
	var o shim.StartOptions
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		fmt.Println("error", err)
		return 1
	}
	if _, err := shim.Start(context.Background(), o); err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("started")
	select {}
}

// place is a run directory with short paths.
type place struct {
	dir string
}

func newPlace(t *testing.T) place {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	p := place{dir}
	t.Cleanup(func() {
		p.endAll(t)
		os.RemoveAll(dir)
	})
	return p
}

// endAll ends what a failed test left: only processes that the bundles of this place name.
func (p place) endAll(t *testing.T) {
	t.Helper()
	bundles, _ := shim.List(p.run())
	for _, b := range bundles {
		if b.State == nil {
			continue
		}
		if b.State.Shim.Alive() {
			_ = b.State.Shim.Signal(9)
			waitGone(t, b.State.Shim)
		}
		if b, err := shim.OpenBundle(b.Dir); err == nil {
			if _, err := b.StopUnwatched(context.Background(), 0); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	}
}

func (p place) run() string { return filepath.Join(p.dir, "run") }

func (p place) bundle(id string) string { return filepath.Join(p.run(), id) }

func (p place) options(id string, argv ...string) shim.StartOptions {
	dir := p.bundle(id)
	return shim.StartOptions{
		ShimPath: shimPath, BundleDir: dir,
		Spec: shim.Spec{
			LaunchID: id, Argv: argv, Socket: shim.SocketPath(p.dir, dir), Cwd: p.dir,
			Env: []shim.EnvVar{{Name: "PATH", Value: "/usr/local/bin:/usr/bin:/bin"}},
		},
	}
}

func sh(script string) []string { return []string{"sh", "-c", script} }

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, o shim.StartOptions) shim.Started {
	t.Helper()
	s, err := shim.Start(deadline(t), o)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	if s.Client != nil {
		t.Cleanup(func() { s.Client.Close() })
	}
	return s
}

// output is what a follower saw.
type output struct {
	mu     sync.Mutex // guards the rest
	stdout strings.Builder
	stderr strings.Builder
	gaps   []shim.Gap
	end    *shim.End
}

func (o *output) item(item shim.Item) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch item := item.(type) {
	case shim.Record:
		if item.Stream == 1 {
			o.stdout.Write(item.Data)
		} else {
			o.stderr.Write(item.Data)
		}
	case shim.Gap:
		o.gaps = append(o.gaps, item)
	case shim.End:
		o.end = &item
	}
	return nil
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stdout.String()
}

// follow reads to the end.
func follow(t *testing.T, c *shim.Client) *output {
	t.Helper()
	var o output
	if err := c.Output(deadline(t), 0, true, o.item); err != nil {
		t.Fatalf("Output: %v", err)
	}
	return &o
}

// eventually waits for a condition without a tight deadline.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}

func waitGone(t *testing.T, id process.Identity) {
	t.Helper()
	if err := id.WaitGone(deadline(t)); err != nil {
		t.Fatalf("%v is still there: %v", id, err)
	}
}

// printed waits until the gateway has printed a word on standard output.
func printed(t *testing.T, c *shim.Client, word string) string {
	t.Helper()
	var o output
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	found := errors.New("found")
	err := c.Output(ctx, 0, true, func(item shim.Item) error {
		_ = o.item(item)
		if strings.Contains(o.text(), word) {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		t.Fatalf("%q was not printed: %v; output %q", word, err, o.text())
	}
	return o.text()
}

// commandWithFiles gives a process a closed pipe as descriptor 3 and an open one as 4.
func commandWithFiles(t *testing.T, path string, args ...string) *exec.Cmd {
	t.Helper()
	gate, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	r, result, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gate.Close()
		r.Close()
		result.Close()
	})
	cmd := exec.Command(path, args...)
	cmd.ExtraFiles = []*os.File{gate, result}
	return cmd
}
