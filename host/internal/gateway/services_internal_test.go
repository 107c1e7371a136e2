package gateway

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/unloader"
)

// clearing returns a gateway that may unload what an unloader knows, and the events that it publishes.
func clearing(t *testing.T, dir string, u *unloader.Fake) (*Gateway, func() []events.Type) {
	t.Helper()
	files, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	cfg := &config.Gateway{Name: "main", Port: 4711, Launcher: "l", Unload: []string{"u"}}
	cfg.Launch.Profile, cfg.Launch.Command, cfg.Launch.StateDir = "openclaw", []string{"/bin/true"}, dir
	cfg.Token.Generate = true
	hub := events.NewHub(events.Options{})
	g, err := New(
		Env{Log: hclog.NewNullLogger(), Store: files, Hub: hub, Secrets: &redact.Known{}}, Settings{Gateway: cfg},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	g.unloader = func(string) unloader.Unloader { return u }
	sub := hub.Subscribe(0)
	return g, func() (out []events.Type) {
		for e, ok := sub.TryNext(); ok; e, ok = sub.TryNext() {
			out = append(out, e.Type)
		}
		return out
	}
}

func servicesOf() []unloader.Service {
	return []unloader.Service{
		{ID: "gui/501/a", Manager: "launchd", Loaded: true, Reason: "it runs the same command"},
		{ID: "3", Manager: "pm2", Loaded: true},
		{ID: "not loaded"},
	}
}

// TestUnloadedServicesAreToldKeptAndRestored, also by the next host.
func TestUnloadedServicesAreToldKeptAndRestored(t *testing.T) {
	dir, u := t.TempDir(), &unloader.Fake{Services: servicesOf()}
	g, told := clearing(t, dir, u)
	if err := (services{&g.core}).Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := told(); !slices.Equal(got, []events.Type{events.GatewayServiceUnloaded, events.GatewayServiceUnloaded}) {
		t.Errorf("events %v", got)
	}
	_ = g.env.Store.Close()
	g, told = clearing(t, dir, u)
	shown := g.unloadedServices()
	if len(shown) != 2 || shown[0].ID != "gui/501/a" || shown[0].Plugin != "u" || !shown[0].Restorable ||
		shown[0].Reason != "it runs the same command" {
		t.Fatalf("shown %+v", shown)
	}
	if _, err := g.RestoreServices(t.Context(), "4"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an unknown one: %v", err)
	}
	got, err := g.RestoreServices(t.Context(), "3")
	if err != nil || len(got.Services) != 1 || got.Services[0].Error != nil || len(g.unloadedServices()) != 1 {
		t.Errorf("one: %+v, %v, left %+v", got, err, g.unloadedServices())
	}
	got, err = g.RestoreServices(t.Context(), "")
	if err != nil || len(got.Services) != 1 || len(g.unloadedServices()) != 0 {
		t.Errorf("the others: %+v, %v", got, err)
	}
	if kinds := told(); len(kinds) != 2 || kinds[0] != events.GatewayServiceRestored {
		t.Errorf("events %v", kinds)
	}
	if calls := u.Calls(); !slices.Contains(calls, "Restore") {
		t.Errorf("calls %v", calls)
	}
}

// TestServiceThatCannotBeRestoredStaysRecorded, and the answer says why.
func TestServiceThatCannotBeRestoredStaysRecorded(t *testing.T) {
	gone := fault.New(fault.NotFound, "its file is gone").WithHint("write it")
	u := &unloader.Fake{Services: servicesOf()[:1], RestoreErr: gone}
	g, _ := clearing(t, t.TempDir(), u)
	if err := (services{&g.core}).Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.env.Store.KeepUnloaded("main", store.Unloaded{Service: "of an older host"}); err != nil {
		t.Fatal(err)
	}
	got, err := g.RestoreServices(t.Context(), "")
	if err != nil || len(got.Services) != 2 || len(g.unloadedServices()) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, s := range got.Services {
		switch {
		case s.Error == nil:
			t.Errorf("%s is restored", s.ID)
		case s.ID == "gui/501/a" && (s.Error.Hint != "write it" || !strings.Contains(s.Error.Message, "its file is gone")):
			t.Errorf("error %+v", s.Error)
		}
	}
}

// TestHostThatEndsRestoresWhenItShall, and only what is stopped.
func TestHostThatEndsRestoresWhenItShall(t *testing.T) {
	for when, want := range map[string]int{"never": 1, "on-exit": 0} {
		g, _ := clearing(t, t.TempDir(), &unloader.Fake{Services: servicesOf()[:1]})
		if err := (services{&g.core}).Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.conf().UnloadRestore = when
		if g.HostEnds(t.Context()); len(g.unloadedServices()) != want {
			t.Errorf("%s: %d services are left unloaded, want %d", when, len(g.unloadedServices()), want)
		}
	}
}
