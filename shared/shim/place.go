package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehost/gatehost/shared/shim/process"
)

// A state directory can be seen from several places: containers that share a volume, machines that share a disk. A pid
// means something in its own place only. What can be known of a launch in another place:
//
//   - under the same kernel, by two locks of files in the bundle, which the kernel ends with the processes: the shim
//     holds both, the gateway inherits the second. They tell for certain.
//   - on another machine, by a heartbeat of the shim. It is believed to live until the lease is over.
const (
	// Beat is how often a shim writes its heartbeat.
	Beat = 15 * time.Second
	// Lease is how long a launch on another machine is believed to live after its last heartbeat.
	Lease = 3 * Beat
)

// At sets the place of a state.
func (s *State) At(p process.Place) {
	s.BootID, s.Namespace, s.Machine, s.Host = p.BootID, p.PIDNamespace, p.MachineID, p.Host
}

// whereabouts is what is known of where a launch is. At most one field is set; none: here, and there is nothing to add.
type whereabouts struct {
	here      bool   // its pids mean something here
	elsewhere string // it lives, or may live, in another place: which, for people
	ended     string // why it has ended, when nothing of it lives
}

// where finds out where the launch is. It looks only at what it needs: files on a stalled disk may hold it up.
func (s State) where(dir string) (whereabouts, error) {
	here, err := process.Here()
	if err != nil {
		return whereabouts{}, err
	}
	return s.seenFrom(here, dir), nil
}

func (s State) seenFrom(here process.Place, dir string) whereabouts {
	sameBoot := s.BootID == here.BootID
	if sameBoot && (s.Namespace == "" || here.PIDNamespace == "" || s.Namespace == here.PIDNamespace) {
		return whereabouts{here: true, ended: "its shim ended first"}
	}
	if s.Namespace == "" && s.Machine == "" && s.Host == "" { // of an older shim, which knew one machine
		return whereabouts{ended: "the machine was started anew"}
	}
	if sameBoot {
		shim, alive := lockOf(dir, lockFile), lockOf(dir, aliveFile)
		switch {
		case shim == lockHeld || alive == lockHeld:
			return whereabouts{elsewhere: fmt.Sprintf(
				"it runs in another pid namespace (container) of this machine, on %s, since %s", s.hostName(),
				stamp(s.StartedAt))}
		case shim == lockFree && alive == lockFree:
			return whereabouts{ended: "the pid namespace (container) that it ran in has ended"}
		}
	}
	last, age := lastBeat(dir)
	booted, err := process.Booted()
	sameMachine := s.Machine != "" && s.Machine == here.MachineID
	if !sameBoot && sameMachine && err == nil && last.Before(booted) {
		return whereabouts{ended: "the machine was started anew"}
	}
	if age < Lease {
		return whereabouts{elsewhere: fmt.Sprintf(
			"it runs in another place, on %s, since %s; its last heartbeat is %v old, and it counts as ended after %v",
			s.hostName(), stamp(s.StartedAt), age.Round(time.Second), Lease)}
	}
	return whereabouts{ended: fmt.Sprintf("in another place, on %s, without a heartbeat since %s", s.hostName(),
		stamp(last))}
}

func (s State) hostName() string {
	if s.Host == "" {
		return "a host without a name"
	}
	return fmt.Sprintf("host %.80q", s.Host)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// WriteBeat writes the heartbeat of a launch. It needs no space on the disk after the first one. It is the shim's.
func WriteBeat(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, beatFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write heartbeat: %w", err)
	}
	_, err = f.WriteAt([]byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0)
	return errors.Join(err, f.Close())
}

// lastBeat returns the time of the last heartbeat and how old it is, both by the clock of the file system: that of a
// server, when several machines share it. Without a heartbeat the state file counts.
func lastBeat(dir string) (time.Time, time.Duration) {
	last := time.Time{}
	for _, name := range []string{beatFile, stateFile} {
		// By opening: a file system of the net looks anew then.
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if fi, err := f.Stat(); err == nil && fi.ModTime().After(last) {
			last = fi.ModTime()
		}
		f.Close()
	}
	return last, max(fileClock(dir).Sub(last), 0)
}

// fileClock is the present time by the clock of the file system; by our own when nothing can be written.
func fileClock(dir string) time.Time {
	f, err := os.CreateTemp(filepath.Dir(dir), ".clock-*")
	if err != nil {
		return time.Now()
	}
	defer os.Remove(f.Name())
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return time.Now()
	}
	return fi.ModTime()
}

// Elsewhere is an error that names the place, when the launch lives, or may live, where this process cannot look: it
// must not be touched. errors.Is ErrElsewhere.
func (b Bundle) Elsewhere() error {
	if b.Status != StatusElsewhere {
		return nil
	}
	return fmt.Errorf("cannot touch launch %s: %w: %s", b.LaunchID, ErrElsewhere, b.Detail)
}

// Claim returns b as one that has ended, if it is elsewhere: the caller knows that no other place uses this directory.
func (b Bundle) Claim() Bundle {
	if b.Status == StatusElsewhere {
		b.Status, b.Detail, b.claimed = StatusEnded, "claimed by the operator; before, "+b.Detail, true
	}
	return b
}
