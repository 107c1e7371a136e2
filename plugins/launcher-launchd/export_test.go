package launcherlaunchd

import "time"

// SetLimits shortens the waits; for tests.
func (u *Unloader) SetLimits(look, change, poll, settle time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.limits = limits{print: look, change: change, poll: poll, settle: settle}
}

// Facts are what is read from `launchctl print`.
type Facts struct {
	Loaded, KeepAlive     bool
	Path, State, StateDir string
	PID, Port             int
}

// Parse reads `launchctl print`.
func Parse(text, id string) (Facts, error) {
	j, err := parse(text, id)
	return Facts{j.loaded, j.keepAlive, j.path, j.state, j.stateDir, j.pid, j.port}, err
}
