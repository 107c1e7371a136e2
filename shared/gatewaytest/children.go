package gatewaytest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Commands of the program's own children.
const (
	brokerCommand = "__spawn-broker"
	holdCommand   = "__hold-pipe"
)

// startBroker says that there is a spawn broker and, with EMULATOR_CHILDREN=1, starts one in a session of its own. It
// ends when its standard input does, so also when the gateway is killed.
func (r *run) startBroker() error {
	r.pause(r.ctx, 140*time.Millisecond)
	broker := os.Getpid()
	if r.env["EMULATOR_CHILDREN"] == "1" {
		cmd, err := r.child(brokerCommand)
		if err != nil {
			return err
		}
		if _, err := cmd.StdinPipe(); err != nil {
			return fmt.Errorf("cannot start spawn broker: %w", err)
		}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("cannot start spawn broker: %w", err)
		}
		r.mu.Lock()
		r.broker = cmd
		r.mu.Unlock()
		broker = cmd.Process.Pid
	}
	r.say("gateway", "spawn broker ready pid="+strconv.Itoa(broker))
	if r.script.has("spawn-grandchild-holding-pipe") {
		cmd, err := r.child(holdCommand, r.script["spawn-grandchild-holding-pipe"])
		if err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = r.stdout, r.stderr
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("cannot start grandchild: %w", err)
		}
		_ = cmd.Process.Release() // it outlives us
	}
	return nil
}

func (r *run) child(args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot start child: %w", err)
	}
	cmd := exec.Command(exe, args...) //nolint:gosec,noctx // ourselves; it lives as long as it should
	ownSession(cmd)
	return cmd, nil
}

func (r *run) stopBroker() {
	r.mu.Lock()
	cmd := r.broker
	r.broker = nil
	r.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// hold keeps inherited pipes open for a while, and is no child that its parent waits for.
func hold(args []string) int {
	if len(args) != 1 {
		return 1
	}
	seconds, err := strconv.Atoi(args[0])
	if err != nil {
		return 1
	}
	time.Sleep(time.Duration(min(seconds, 3600)) * time.Second)
	return 0
}
