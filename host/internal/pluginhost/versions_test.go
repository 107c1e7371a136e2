//go:build unix

package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// versioned is a plugin that announces services as other releases would.
func versioned(name string, announced ...string) pluginhost.Spec {
	return pluginhost.Spec{Name: name, Path: "test-plugin", Args: append([]string{"versions"}, announced...)}
}

// speaksDoctor is a host that knows other versions of the doctor service than this one.
func speaksDoctor(low, high uint32) map[plugin.Kind]pluginhost.Versions {
	out := pluginhost.Speaks()
	out[plugin.KindDoctor] = pluginhost.Versions{Min: low, Max: high}
	return out
}

func stateOf(t *testing.T, h *pluginhost.Host, name string) pluginhost.State {
	t.Helper()
	var s pluginhost.State
	poll(t, "plugin "+name+" to come up, or not", func() bool {
		all := h.Plugins()
		s = all[slices.IndexFunc(all, func(s pluginhost.State) bool { return s.Name == name })]
		return s.State != pluginhost.Starting
	})
	return s
}

// askAll calls each method of a doctor. Verify works when the plugin announces it.
func askAll(t *testing.T, h *pluginhost.Host, name string, verifies bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d := h.Doctor(name)
	got, err := d.Diagnose(ctx, doctor.DiagnoseRequest{})
	if err != nil {
		return err
	}
	f := got.Findings[0]
	if _, err := d.Plan(ctx, plugin.GatewayFacts{}, f); err != nil {
		return err
	}
	said := ""
	r, err := d.Repair(ctx, doctor.RepairRequest{Finding: f}, func(p doctor.Progress) { said = p.Text })
	if err != nil {
		return err
	}
	if f.Code != "version" || r.Summary != "done" || said != "working" {
		t.Errorf("%s: it answered %+v, %q, %q", name, f, said, r.Summary)
	}
	v, err := d.Verify(ctx, doctor.VerifyRequest{Finding: f})
	if verifies != (err == nil) || verifies && v.Outcome != doctor.OutcomeHelped || !verifies &&
		!errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("%s: verification = %+v, %v", name, v, err)
	}
	return nil
}

// negotiated is the version in which host and plugin talk about doctors.
func negotiated(t *testing.T, h *pluginhost.Host, name string) uint32 {
	t.Helper()
	for _, svc := range stateOf(t, h, name).Services {
		if svc.Kind == plugin.KindDoctor {
			return svc.Version
		}
	}
	return 0
}

// TestVerifyIsCalledOnlyWhenItIsAnnounced, for the version in which host and plugin talk.
func TestVerifyIsCalledOnlyWhenItIsAnnounced(t *testing.T) {
	h, _ := newHost(t, quick(), versioned("with", "doctor=1-1,verify"), versioned("without", "doctor=1-1"),
		versioned("later", "doctor=1-1", "doctor=2-2,verify"))
	for name, verifies := range map[string]bool{"with": true, "without": false, "later": false} {
		if err := askAll(t, h, name, verifies); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := h.Doctor("without").Verify(t.Context(), doctor.VerifyRequest{Finding: doctor.Finding{Code: "version"}})
	if err == nil ||
		!strings.Contains(err.Error(), `does not announce the capability "verify", which Doctor.Verify needs`) {
		t.Errorf("error = %v", err)
	}
}

// TestEachPairOfHostAndPluginTalksOrSaysWhichSideToUpgrade: ADR 23. The classifier that each plugin also has works,
// whatever happens to its doctor.
func TestEachPairOfHostAndPluginTalksOrSaysWhichSideToUpgrade(t *testing.T) {
	const gatehost, thePlugin = "upgrade gatehost", "upgrade the plugin"
	for _, host := range []struct {
		speaks map[plugin.Kind]pluginhost.Versions
		text   string
		want   map[string]string // a range of the plugin to the version, or to which side to upgrade
	}{
		{speaksDoctor(1, 2), "1 to 2", map[string]string{
			"1-1": "1", "1-2": "2", "2-2": "2", "3-4": gatehost,
			"0-0": thePlugin, "2-1": thePlugin,
		}},
		{nil, "1", map[string]string{
			"1-1": "1", "1-2": "1", "2-2": gatehost, "3-4": gatehost, "0-0": thePlugin,
			"2-1": thePlugin,
		}},
		{speaksDoctor(3, 3), "3", map[string]string{"1-1": thePlugin, "1-2": thePlugin}},
	} {
		t.Run("host "+host.text, func(t *testing.T) {
			var specs []pluginhost.Spec
			for announced := range host.want {
				specs = append(specs, versioned("p"+announced, "doctor="+announced, "classifier=1-1"))
			}
			h, _ := newHostThatSpeaks(t, host.speaks, quick(), specs...)
			for announced, want := range host.want {
				name := "p" + announced
				s := stateOf(t, h, name)
				if s.State != pluginhost.Running || s.Err != nil || len(s.Services) != 2 ||
					s.Services[0].Kind != plugin.KindDoctor {
					t.Errorf("%s: state = %+v", announced, s)
					continue
				}
				svc := s.Services[0]
				err := askAll(t, h, name, false)
				if !strings.HasPrefix(want, "upgrade") {
					if err != nil || fmt.Sprint(svc.Version) != want || svc.Err != nil {
						t.Errorf("%s: %v; told: %+v, want version %s", announced, err, svc, want)
					}
				} else if !errors.Is(err, fault.ErrUnsupported) || !strings.HasPrefix(fault.HintOf(err), want) ||
					svc.Version != 0 ||
					!strings.Contains(err.Error(), svc.Err.Error()) {
					t.Errorf("%s: error = %v, hint %q; want %q; told: %+v", announced, err, fault.HintOf(err), want,
						svc)
				}
				low, high, _ := strings.Cut(announced, "-")
				if svc.Err != nil && (!strings.Contains(svc.Err.Error(), "versioned 9.0.0 ") ||
					!strings.Contains(svc.Err.Error(), "the doctor service in versions "+low+" to "+high) &&
						!strings.Contains(svc.Err.Error(), "the doctor service in version "+low+",") ||
					low <= high && low > "0" &&
						!strings.HasSuffix(svc.Err.Error(), "this host (gatehost test) speaks "+host.text)) {
					t.Errorf("%s: it is said %q", announced, svc.Err)
				}
				stream, err := h.Classifier(name).Open(t.Context(), plugin.GatewayFacts{Name: "main", Port: 1}, "x")
				if err != nil {
					t.Errorf("%s: its classifier suffers: %v", announced, err)
					continue
				}
				if err := stream.Close(); err != nil {
					t.Errorf("%s: %v", announced, err)
				}
			}
		})
	}
}

// TestPluginOfWhichNothingCanBeUsedFailsInWords; services of a newer contract do no harm.
func TestPluginOfWhichNothingCanBeUsedFailsInWords(t *testing.T) {
	timing := quick()
	timing.CallWait = 100 * time.Millisecond
	h, _ := newHost(t, timing, versioned("both", "doctor=3-4", "classifier=2-3"),
		versioned("strange", "9=1-1", "12=1-2"), versioned("nothing"),
		versioned("no-kind", "unspecified=1-1", "doctor=1-1"), versioned("newer", "doctor=1-1", "9=1-1"),
		versioned("hole", "doctor=1-1", "doctor=3-4"),
		versioned("around", "doctor=3-4", "doctor=0-9"))
	for name, want := range map[string][]string{
		"both": {
			"speaks the doctor service in versions 3 to 4",
			"speaks the classifier service in versions 2 to 3, this host (gatehost test) speaks 1", "upgrade gatehost",
		},
		"strange": {"it serves nothing that this host knows", "by number: 9, 12", "upgrade gatehost"},
		"nothing": {"it serves nothing", "upgrade the plugin"},
		"around":  {"announces the doctor service in versions 0 to 9, which is no range", "upgrade the plugin"},
	} {
		s := stateOf(t, h, name)
		if s.State != pluginhost.Failed || s.Err == nil {
			t.Errorf("%s: state = %+v", name, s)
			continue
		}
		for _, part := range want {
			if text := s.Err.Error() + " " + fault.HintOf(s.Err); !strings.Contains(text, part) {
				t.Errorf("%s: it is said %q, want %q", name, text, part)
			}
		}
		if err := askAll(t, h, name, false); !errors.Is(err, fault.ErrPluginDown) ||
			fault.HintOf(err) != fault.HintOf(s.Err) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	if s := stateOf(t, h, "no-kind"); s.Err == nil || !strings.Contains(s.Err.Error(), "a service without a kind") {
		t.Errorf("state = %+v", s)
	}
	if s := stateOf(t, h, "newer"); s.State != pluginhost.Running || !slices.Equal(s.UnknownKinds, []int32{9}) ||
		len(s.Services) != 1 {
		t.Errorf("state = %+v", s)
	}
	for _, name := range []string{"newer", "hole"} {
		if err := askAll(t, h, name, false); err != nil || negotiated(t, h, name) != 1 {
			t.Errorf("%s is asked in version %d, %v", name, negotiated(t, h, name), err)
		}
	}
}

// TestReplacedPluginIsAskedInTheVersionOfTheNextProcess: up and down; a service that could not be used may be missing
// afterwards.
func TestReplacedPluginIsAskedInTheVersionOfTheNextProcess(t *testing.T) {
	spec := testPlugin()
	h, dir := newHostThatSpeaks(t, speaksDoctor(1, 2), quick(), spec)
	_ = pid(t, h)
	for _, next := range []struct {
		mode     string
		version  uint32
		verifies bool
	}{
		{"versions doctor=1-2,verify launcher=2-2", 2, true},
		{"versions doctor=1-1", 1, false},
		{"versions doctor=2-3,verify", 2, true},
	} {
		put(t, inData(dir, "mode"), next.mode)
		if err := h.Restart(t.Context(), "p"); err != nil {
			t.Fatalf("%s: %v", next.mode, err)
		}
		if err := askAll(t, h, "p", next.verifies); err != nil || negotiated(t, h, "p") != next.version {
			t.Errorf("%s: it is asked in version %d, %v", next.mode, negotiated(t, h, "p"), err)
		}
	}
	put(t, inData(dir, "mode"), "versions doctor=3-4 classifier=1-1")
	err := h.Restart(t.Context(), "p")
	if !errors.Is(err, fault.ErrFailedPrecondition) ||
		!strings.Contains(err.Error(), "speaks the doctor service in versions 3 to 4") ||
		!strings.HasPrefix(fault.HintOf(err), "upgrade gatehost") {
		t.Errorf("error = %v, hint %q", err, fault.HintOf(err))
	}
	if err := askAll(t, h, "p", true); err != nil || negotiated(t, h, "p") != 2 {
		t.Errorf("the former process is asked in version %d, %v", negotiated(t, h, "p"), err)
	}
}
