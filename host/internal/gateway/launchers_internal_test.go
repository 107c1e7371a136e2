package gateway

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// twoLaunchers is a gateway whose next process is for the launcher "new", and which knows another one, "old".
func twoLaunchers() (g *core, old, next *launcher.Fake, l launchers) {
	g = bare(&config.Gateway{Name: "main", Launcher: "new"})
	old, next = &launcher.Fake{}, &launcher.Fake{}
	return g, old, next, launchers{g, func(name string) launcher.Launcher {
		return map[string]launcher.Launcher{"old": old, "new": next}[name]
	}}
}

func launch(t *testing.T, l launcher.Launcher, id string) {
	t.Helper()
	if _, err := l.Launch(t.Context(), launcher.LaunchRequest{
		LaunchID: id, Gateway: plugin.GatewayFacts{Name: "main"}, Process: plugin.ProcessSpec{Argv: []string{"x"}},
	}); err != nil {
		t.Fatal(err)
	}
}

// Each launch belongs to the plugin that made it, until nothing of it is left.
func TestLaunchIsStoppedAndReadByThePluginThatMadeIt(t *testing.T) {
	g, old, next, l := twoLaunchers()
	g.launches.note("A", launched{cfg: &config.Gateway{Launcher: "old"}, by: "old"})
	launch(t, l, "A")
	launch(t, l, "B")
	for who, want := range map[*launcher.Fake][]string{old: {"A"}, next: {"B"}} {
		listing, err := who.List(t.Context(), "main")
		if err != nil || len(listing.Instances) != 1 || listing.Instances[0].LaunchID != want[0] {
			t.Errorf("%v, %v, want %v", listing, err, want)
		}
	}
	all, err := l.List(t.Context(), "main")
	if err != nil || len(all.Instances) != 2 || all.Instances[0].StartedAt.After(all.Instances[1].StartedAt) {
		t.Errorf("both are asked: %+v, %v", all, err)
	}
	if _, err := l.Stop(t.Context(), "A", time.Second); err != nil {
		t.Error(err)
	}
	if err := l.Release(t.Context(), "A"); err != nil {
		t.Error(err)
	}
	if by := g.launches.forget("A"); by != "old" {
		t.Errorf("it was by %q", by)
	}
	if got := g.launches.launchers(); !slices.Equal(got, []string{"new"}) {
		t.Errorf("launchers that are needed: %v", got)
	}
}

// A launcher that cannot be asked may hold a process that nobody else knows: to start another beside it would be wrong.
func TestWhatRunsIsNotKnownBeforeAllLaunchersHaveAnswered(t *testing.T) {
	g, old, _, l := twoLaunchers()
	g.launches.note("A", launched{by: "old"})
	old.ListErr = fault.New(fault.PluginDown, "it is down")
	if _, err := l.List(t.Context(), "main"); !errors.Is(err, fault.ErrPluginDown) {
		t.Errorf("error = %v", err)
	}
	if g.launches.launcherOf("A") != "old" {
		t.Error("the launch was forgotten")
	}
	old.ListErr = nil
	if _, err := l.List(t.Context(), "main"); err != nil || g.launches.launcherOf("A") != "" {
		t.Errorf("%v; a launch that nobody knows any more is kept", err)
	}
}

func TestCommandIsForTheNextLauncherWhereNothingRuns(t *testing.T) {
	_, old, next, l := twoLaunchers()
	var ran []string
	for name, who := range map[string]*launcher.Fake{"old": old, "new": next} {
		who.ExecFunc = func(context.Context, launcher.ExecRequest, func(plugin.Line) error) (launcher.ExecResult, error) {
			ran = append(ran, name)
			return launcher.ExecResult{}, nil
		}
	}
	if _, err := l.Exec(t.Context(), launcher.ExecRequest{Timeout: time.Second, Process: plugin.ProcessSpec{Argv: []string{"x"}}}, nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ran, []string{"new"}) {
		t.Errorf("ran by %v", ran)
	}
}

// What a process was made with holds for it until it is gone, whatever holds for the next one.
func TestProcessKeepsWhatItWasMadeWith(t *testing.T) {
	var table launchTable
	first, second := &config.Gateway{Port: 1}, &config.Gateway{Port: 2}
	table.note("A", launched{cfg: first, by: "utility"})
	table.note("A", launched{cfg: second}) // found again by the launcher: what this host made it knows better
	table.note("old", launched{cfg: second, labels: map[string]string{"x": "y"}})
	for _, row := range []struct {
		name  string
		state lifecycle.State
		want  *config.Gateway
	}{
		{"its own", lifecycle.State{Launch: "A"}, first},
		{"an adopted one", lifecycle.State{Launch: "old", Adopted: true}, second},
		{"none", lifecycle.State{}, nil},
		{"a launch of which nothing is known", lifecycle.State{Launch: "B"}, nil},
		{"attached, before that was seen", lifecycle.State{Attached: true}, nil},
	} {
		got, ok := table.present(row.state)
		if ok != (row.want != nil) || got.cfg != row.want {
			t.Errorf("%s: %+v, %v", row.name, got, ok)
		}
	}
	table.probed.Store(first)
	table.follow(observe.Change{After: lifecycle.State{Attached: true}})
	table.probed.Store(second) // a later look changes nothing
	if got, ok := table.present(lifecycle.State{Attached: true}); !ok || got.cfg != first {
		t.Errorf("attached: %+v, %v", got, ok)
	}
	table.follow(observe.Change{Before: lifecycle.State{Attached: true}})
	if _, ok := table.present(lifecycle.State{Attached: true}); ok {
		t.Error("it is kept after the gateway was let go")
	}
}

// What was built holds secrets: it is dropped when its launch is made, given up, or replaced by another one.
func TestWhatWasBuiltIsDroppedWithItsLaunch(t *testing.T) {
	var table launchTable
	b := built{token: "secret"}
	table.prepare("A", b)
	if _, ok := table.takeBuilt("B"); ok {
		t.Error("another launch gets it")
	}
	if got, ok := table.takeBuilt("A"); !ok || got.token != b.token {
		t.Errorf("taken: %+v, %v", got, ok)
	}
	table.prepare("B", b)
	table.follow(observe.Change{Before: lifecycle.State{Launch: "B"}}) // given up before it was made
	if table.next.built != nil {
		t.Error("it is kept after its launch was given up")
	}
	table.prepare("C", b)
	table.prepare("D", b)
	if _, ok := table.takeBuilt("C"); ok {
		t.Error("the one before is kept")
	}
	if names := table.launchers(); len(names) > 0 {
		t.Errorf("a launch that was never made needs %v", names)
	}
}
