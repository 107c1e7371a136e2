package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim/process"
)

func TestTheOwnControlGroupIsFoundWhereItIsMounted(t *testing.T) {
	const unified = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	for name, tc := range map[string]struct{ own, mounts, want string }{
		"unified":     {"0::/user.slice/a.service\n", unified, "/sys/fs/cgroup/user.slice/a.service"},
		"at the root": {"0::/\n", unified, "/sys/fs/cgroup"},
		"hybrid": {
			"4:memory:/m\n0::/x\n",
			"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - " +
				"cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified/x",
		},
		"a part mounted": {
			"0::/docker/1/app\n", "31 23 0:28 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"/sys/fs/cgroup/app",
		},
		"another part":     {"0::/docker/12\n", "31 23 0:28 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n", ""},
		"a blank in it":    {"0::/a\n", `31 23 0:28 / /mnt/c\040g rw - cgroup2 cgroup rw`, "/mnt/c g/a"},
		"version 1 only":   {"4:memory:/m\n", unified, ""},
		"outside of ours":  {"0::/../other\n", unified, ""},
		"nothing mounted":  {"0::/a\n", "", ""},
		"no cgroup at all": {"", "", ""},
	} {
		got, err := process.GroupDir(tc.own, tc.mounts)
		if got != tc.want || (tc.want == "") != errors.Is(err, process.ErrUnsupported) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tc.want)
		}
	}
}

func TestWaitingForAnEndStopsWithItsContext(t *testing.T) {
	_, id := run(t, nil, "sleep", "600")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	if err := id.WaitGone(ctx); !errors.Is(err, cause) || !id.Alive() {
		t.Errorf("WaitGone = %v, want its context's cause", err)
	}
}

func TestOnlyEmptyOldGroupsAreSwept(t *testing.T) {
	prefix := fmt.Sprintf("ghsweep%d-", os.Getpid())
	groups := map[string]process.Group{}
	for _, name := range []string{"empty", "used"} {
		g, err := process.MakeGroup(prefix + name)
		if err != nil {
			return // there are none here
		}
		t.Cleanup(func() { _ = g.Remove() })
		groups[name] = g
	}
	cmd, id := run(t, nil, "sleep", "600")
	if err := os.WriteFile(filepath.Join(groups["used"].Path, "cgroup.procs"), []byte(strconv.Itoa(id.PID)),
		0); err != nil {
		t.Fatal(err)
	}
	process.SweepGroups(prefix, time.Hour)
	if _, err := os.Stat(groups["empty"].Path); err != nil {
		t.Errorf("a new one was swept: %v", err)
	}
	process.SweepGroups(prefix, 0)
	if _, err := os.Stat(groups["empty"].Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty one is there: %v", err)
	}
	if _, err := os.Stat(groups["used"].Path); err != nil || !id.Alive() {
		t.Errorf("one that is used: %v, its process lives: %t", err, id.Alive())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
