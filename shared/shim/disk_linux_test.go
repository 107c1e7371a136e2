package shim_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/shared/shim"
)

// smallDisk puts the run directory on a disk of its own.
func (p place) smallDisk(t *testing.T, bytes int) {
	t.Helper()
	if err := os.MkdirAll(p.run(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", p.run(), "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes)); err != nil {
		t.Fatalf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		p.endAll(t)
		if err := unix.Unmount(p.run(), unix.MNT_DETACH); err != nil {
			t.Errorf("cannot unmount: %v", err)
		}
	})
}

// fill takes every byte that is left.
func (p place) fill(t *testing.T) {
	t.Helper()
	f, err := os.Create(filepath.Join(p.run(), "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("filling the disk: %v", err)
		}
	}
}

// mayMount says whether a real full disk can be had.
func mayMount() bool {
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	if unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4096") != nil {
		return false
	}
	return unix.Unmount(dir, 0) == nil
}

func TestAFullDiskLosesNeitherExitNorLivingOutput(t *testing.T) {
	t.Run("with a log that cannot be opened", func(t *testing.T) {
		testFullFromTheStart(t, func(p place) { p.limitFiles(t) })
	})
	if !mayMount() {
		// the rest is shown by injected errors only: TestAFullDiskLosesNoLiveOutputAndIsCounted of package outlog
		return
	}
	t.Run("on a disk of 64 KiB from the start", func(t *testing.T) {
		testFullFromTheStart(t, func(p place) { p.smallDisk(t, 64<<10) })
	})
	t.Run("on a disk that fills up meanwhile", testFullMeanwhile)
}

// limitFiles stands for a full disk: the places of the output log are taken by what no file can be.
func (p place) limitFiles(t *testing.T) {
	t.Helper()
	for _, name := range []string{"output-0.log", "output-1.log"} {
		if err := os.MkdirAll(filepath.Join(p.bundle("full"), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// The log does not fit: it lives in memory from the first byte.
func testFullFromTheStart(t *testing.T, limit func(place)) {
	t.Helper()
	p := newPlace(t)
	limit(p)
	o := p.options("full",
		sh(`exec 2>&-; trap 'echo bye; exit 9' TERM; yes abcdefghijklmnop | head -n 100000; `+
			`echo flooded > `+p.dir+`/flooded; while `+
			`:; do sleep 0.05; done`)...)
	s := start(t, o)
	eventually(t, "the flood is over: the gateway did not have to wait", func() bool {
		_, err := os.Stat(filepath.Join(p.dir, "flooded"))
		return err == nil
	})
	st, err := s.Client.State(deadline(t))
	if err != nil || st.OutputLost == 0 || st.OutputFault == "" {
		t.Errorf("State = %d bytes in memory only, fault %q, %v; want it told", st.OutputLost, st.OutputFault, err)
	}
	if strings.Contains(t.Name(), "on_a_disk") && !strings.Contains(st.OutputFault, "no space") {
		t.Errorf("fault = %q", st.OutputFault)
	}
	stopped, err := s.Client.Stop(deadline(t), patience)
	if err != nil || stopped.Exit.Code != 9 || !stopped.Exit.Durable {
		t.Errorf("Stop = %+v, %v, want a durable exit", stopped, err)
	}
	out := newCount(t, s.Client)
	if out.lines+out.lost != 100001 || out.last != "bye" {
		t.Errorf("%d lines read, %d lost, the last is %q; want 100001 and bye", out.lines, out.lost, out.last)
	}
	b := killShim(t, s)
	if b.Status != shim.StatusEnded || b.Exit == nil || b.Exit.Code != 9 || !b.Exit.Final {
		t.Errorf("bundle = %+v, want the exit on disk", b)
	}
}

// newCount reads all that is kept and counts lines as a host does.
func newCount(t *testing.T, c *shim.Client) (n struct {
	lines, lost uint64
	last        string
},
) {
	t.Helper()
	number := uint64(0)
	if err := c.Output(deadline(t), 0, true, shim.CutLines(0, func(item shim.Item) error {
		switch item := item.(type) {
		case shim.Line:
			n.lines, number, n.last = n.lines+1, number+1, item.Text
		case shim.Gap:
			n.lost, number = n.lost+item.ToLine-number, item.ToLine
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	return n
}

// What was reserved at the start is enough: the log goes on, and turns, on a disk that has not a byte left.
func testFullMeanwhile(t *testing.T) {
	p := newPlace(t)
	p.smallDisk(t, 1<<20)
	o := p.options("fills",
		sh(`echo before; while [ ! -e `+p.dir+`/go ]; do sleep 0.05; done; yes abcdefghijklmnop | head -n 100000; echo `+
			`last; exit 9`)...)
	o.Spec.OutputMaxBytes = 256 << 10
	s := start(t, o)
	printed(t, s.Client, "before")
	p.fill(t)
	if err := os.WriteFile(filepath.Join(p.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := newCount(t, s.Client)
	if out.lines+out.lost != 100002 || out.last != "last" {
		t.Errorf("%d lines read, %d lost, the last is %q; want 100002 and last", out.lines, out.lost, out.last)
	}
	st, err := s.Client.State(deadline(t))
	if err != nil || st.OutputLost != 0 || st.Exit == nil || st.Exit.Code != 9 || !st.Exit.Durable {
		t.Errorf("State = %+v, %v, want nothing lost and a durable exit", st, err)
	}
	if err := s.Client.Release(deadline(t)); err != nil {
		t.Fatal(err)
	}
	b, err := shim.OpenBundle(s.Bundle.Dir) // state.json could not be written anew
	if err != nil || b.Status != shim.StatusEnded || b.Exit == nil || b.Exit.Code != 9 {
		t.Errorf("bundle = %+v, %v", b, err)
	}
	var kept output
	if err := b.Output(deadline(t), 0, kept.item); err != nil || !strings.HasSuffix(kept.text(), "\nlast\n") {
		t.Errorf("output from disk: %v, %d bytes", err, kept.stdout.Len())
	}
	if err := shim.Remove(b.Dir); err != nil {
		t.Errorf("Remove: %v", err)
	}
}

// TestOutputLeavesRoomForTheRestOfTheLaunch: on a disk that has room for the log and for little else, the log must not
// take what state and secret need. On ext4 a log that does not fit takes all blocks that are left before it fails.
func TestOutputLeavesRoomForTheRestOfTheLaunch(t *testing.T) {
	for kind, lefts := range map[string][]int{
		"tmpfs": {264, 272, 276, 280, 288, 320}, "ext4": {44, 64, 100, 272, 288, 320},
	} {
		p := newPlace(t)
		if kind == "ext4" {
			p.smallExt4(t)
		} else if !mayMount() {
			t.Skip("cannot mount a small disk here")
		} else {
			p.smallDisk(t, 1<<20)
		}
		for _, left := range lefts {
			spare := filepath.Join(p.run(), "spare")
			if err := os.WriteFile(spare, make([]byte, left<<10), 0o600); err != nil {
				t.Fatal(err)
			}
			p.fill(t)
			if err := os.Remove(spare); err != nil {
				t.Fatal(err)
			}
			o := p.options(fmt.Sprintf("leaves-%d", left), "sleep", "60")
			o.Spec.OutputMaxBytes = 256 << 10
			s, err := shim.Start(deadline(t), o)
			if err != nil {
				t.Errorf("%s with %d KiB left: %v", kind, left, err)
			} else {
				b, err := shim.OpenBundle(o.BundleDir)
				if err != nil || b.State.Phase != shim.PhaseRunning {
					t.Errorf("%s with %d KiB left: the bundle is %+v, %v, want it running", kind, left, b.State, err)
				}
				if _, err := s.Client.Stop(deadline(t), patience); err != nil {
					t.Error(err)
				}
				if err := s.Client.Release(deadline(t)); err != nil {
					t.Error(err)
				}
				s.Client.Close()
			}
			if err := errors.Join(os.RemoveAll(o.BundleDir), os.Remove(filepath.Join(p.run(), "ballast"))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// smallExt4 puts the run directory on an ext4 of 8 MiB.
func (p place) smallExt4(t *testing.T) {
	t.Helper()
	image := filepath.Join(p.dir, "image")
	if err := os.WriteFile(image, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.run(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, p.run()}} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Skipf("cannot mount a small disk here: %s: %v %s", cmd[0], err, out)
		}
	}
	t.Cleanup(func() {
		p.endAll(t)
		if err := unix.Unmount(p.run(), unix.MNT_DETACH); err != nil {
			t.Errorf("cannot unmount: %v", err)
		}
	})
}
