package conformance

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// jail is a launcher whose programs end at once, as those of a jail that refuses.
type jail struct{ launcher.Fake }

func (j *jail) Launch(ctx context.Context, req launcher.LaunchRequest) (launcher.Launched, error) {
	got, err := j.Fake.Launch(ctx, req)
	j.Emit(req.LaunchID, "entering", "cannot enter the jail")
	j.Exit(req.LaunchID, plugin.Exit{Code: 65})
	return got, err
}

// TestProgramThatDiesBeforeItBeginsIsToldAtOnce: with its exit code, its last lines and its command.
func TestProgramThatDiesBeforeItBeginsIsToldAtOnce(t *testing.T) {
	r := &recorder{TB: t}
	began := time.Now()
	Launcher(r, func() pluginkit.Plugin { return pluginkit.Plugin{Name: "jail", Version: "1.0.0", Launcher: &jail{}} },
		func(_ *localOpener, o *Options) { o.Only = []string{"launcher/launch", "launcher/stop"} })
	if took := time.Since(began); took > startTimeout/2 {
		t.Errorf("it took %v", took)
	}
	if len(r.failed) != 2 {
		t.Fatalf("failed = %q", r.failed)
	}
	for _, text := range r.failed {
		for _, want := range []string{"exit code 65", "entering | cannot enter the jail", ChildVerb, "hint: "} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in %s", want, text)
			}
		}
	}
}
