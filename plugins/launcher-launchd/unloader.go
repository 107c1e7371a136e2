package launcherlaunchd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/unloader"
)

// Name and Version of the plugin.
const (
	Name    = "launcher-launchd"
	Version = "0.1.0"
)

const (
	manager       = "launchd"
	defaultLabel  = "ai.openclaw.gateway"
	recordVersion = 1
)

// limits of what is waited for.
type limits struct {
	print  time.Duration // one check (B114)
	change time.Duration // one bootout or bootstrap (B114), and the wait until it shows
	poll   time.Duration
	settle time.Duration // how long a service must stay gone
}

func defaultLimits() limits {
	return limits{print: 5 * time.Second, change: 10 * time.Second, poll: 200 * time.Millisecond, settle: time.Second}
}

// settings is the plugin's own table.
type settings struct {
	Launchctl string   `json:"launchctl"`
	Labels    []string `json:"labels"`
	UID       *int     `json:"uid"`
}

// Unloader serves the kind unloader. Configure comes first; after it everything may be called concurrently.
type Unloader struct {
	mu     sync.Mutex // guards the rest
	s      settings
	limits limits
}

var _ unloader.Unloader = (*Unloader)(nil)

// New makes an unloader for the platform's launchctl and OpenClaw's label.
func New() *Unloader { return &Unloader{limits: defaultLimits()} }

// Plugin is what main serves.
func (u *Unloader) Plugin() pluginkit.Plugin {
	return pluginkit.Plugin{
		Name: Name, Version: Version, Unloader: u, Configure: u.Configure,
		ConfigFields: []plugin.ConfigField{
			{
				Path: "launchctl", Type: "string",
				Doc: "path of launchctl; default: /bin/launchctl on macOS, elsewhere there is none",
			},
			{
				Path: "labels", Type: "array", DefaultJSON: `["` + defaultLabel + `"]`,
				Doc: "labels of services that run this gateway, too",
			},
			{Path: "uid", Type: "integer", Doc: "user whose login session is looked at; default: the host's own"},
		},
	}
}

var labelPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Configure takes the table.
func (u *Unloader) Configure(_ context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
	s, diagnostics := pluginkit.DecodeConfig(req.Config, settings{})
	bad := func(path, message, hint string) {
		diagnostics = append(diagnostics, plugin.Diagnostic{
			Severity: plugin.SeverityError, Path: path,
			Message: message, Hint: hint,
		})
	}
	if s.Launchctl != "" {
		if info, err := os.Stat(s.Launchctl); !filepath.IsAbs(s.Launchctl) || err != nil || info.IsDir() {
			bad("launchctl", fmt.Sprintf("%q is not the absolute path of a program", s.Launchctl),
				"remove the key to use the platform's own")
		}
	}
	for i, l := range s.Labels {
		if !labelPattern.MatchString(l) {
			bad(fmt.Sprintf("labels[%d]", i), fmt.Sprintf("%q is not a launchd label", l),
				"labels look like ai.openclaw.gateway")
		}
	}
	if s.UID != nil && *s.UID < 0 {
		bad("uid", "is negative", "give the numeric id of a user, as `id -u` prints it")
	}
	if len(diagnostics) > 0 {
		return diagnostics, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.s = s
	return nil, nil
}

// target is what one call works with.
type target struct {
	ctl    launchctl
	domain string // gui/501
	labels []string
	limits limits
}

func (u *Unloader) target() (target, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	path := u.s.Launchctl
	if path == "" && runtime.GOOS == "darwin" {
		path = "/bin/launchctl"
	}
	uid := os.Getuid() // -1 on Windows
	if u.s.UID != nil {
		uid = *u.s.UID
	}
	if path == "" || uid < 0 {
		return target{}, fault.New(fault.Unsupported, "cannot ask launchd: there is none on "+runtime.GOOS).
			WithHint("remove " + Name + " from `unload`, or name a launchctl in its table")
	}
	labels := u.s.Labels
	if len(labels) == 0 {
		labels = []string{defaultLabel}
	}
	return target{
		ctl: launchctl{path: path, limits: u.limits}, domain: fmt.Sprintf("gui/%d", uid), labels: slices.Clone(labels),
		limits: u.limits,
	}, nil
}

// Inspect looks up every configured label. A service that is not loaded manages no gateway and is not named (B116).
func (u *Unloader) Inspect(ctx context.Context, gw plugin.GatewayFacts) ([]unloader.Service, error) {
	t, err := u.target()
	if err != nil {
		return nil, err
	}
	var out []unloader.Service
	for _, label := range t.labels {
		id := t.domain + "/" + label
		job, err := t.ctl.print(ctx, id)
		if err != nil {
			return nil, err
		}
		if job.loaded && job.fights(gw) {
			out = append(out, unloader.Service{
				ID: id, Manager: manager, Path: job.path, Loaded: true, PID: job.pid, KeepsAlive: job.keepAlive,
				Reason:         job.reason(),
				DisableCommand: "launchctl bootout " + id + "; launchctl disable " + id,
			})
		}
	}
	return out, nil
}

// record is what Restore needs.
type record struct {
	Version int    `json:"version"`
	Manager string `json:"manager"`
	Label   string `json:"label"`
	Domain  string `json:"domain"`
	Plist   string `json:"plist"`
}

// Unload boots a service out of its domain and waits until launchd does not know it any more, and for a moment longer:
// a service that comes back is loaded by another program, and unloading it again and again would not help. The plist
// stays.
func (u *Unloader) Unload(ctx context.Context, _ plugin.GatewayFacts, serviceID string) (unloader.Unloaded, error) {
	t, err := u.target()
	if err != nil {
		return unloader.Unloaded{}, err
	}
	label := strings.TrimPrefix(serviceID, t.domain+"/")
	if !slices.Contains(t.labels, label) || serviceID != t.domain+"/"+label {
		return unloader.Unloaded{},
			fault.New(fault.NotFound, fmt.Sprintf("cannot unload %q: it is none of the configured services",
				serviceID)).
				WithHint("add its label to `labels` in the table of " + Name)
	}
	job, err := t.ctl.print(ctx, serviceID)
	if err != nil || !job.loaded {
		return unloader.Unloaded{}, err
	}
	undo, err := json.Marshal(record{
		Version: recordVersion, Manager: manager, Label: label, Domain: t.domain,
		Plist: job.path,
	})
	if err != nil {
		return unloader.Unloaded{}, err
	}
	// From here on something may have changed, so the record is given back with an error as well.
	got := unloader.Unloaded{Changed: true, Undo: undo}
	refusal := t.ctl.change(ctx, "bootout", serviceID)
	if fault.CodeOf(refusal) == fault.PermissionDenied {
		return unloader.Unloaded{}, refusal
	}
	// What counts is whether the service is gone, not what launchctl said: releases differ in what they call a success.
	switch gone, err := t.await(ctx, serviceID, false); {
	case err != nil:
		return got, err
	case !gone && refusal != nil:
		return got, refusal
	case !gone:
		return got, fault.New(fault.DeadlineExceeded, fmt.Sprintf("cannot unload %s: it is still loaded after %v",
			serviceID, t.limits.change)).
			WithHint("unload it by hand: launchctl bootout " + serviceID)
	}
	return got, t.staysGone(ctx, serviceID)
}

// await polls until the service is as wanted, bounded.
func (t target) await(ctx context.Context, id string, loaded bool) (bool, error) {
	deadline := time.Now().Add(t.limits.change)
	for {
		job, err := t.ctl.print(ctx, id)
		if err == nil && job.loaded == loaded {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if !time.Now().Before(deadline) {
			return false, err
		}
		t.pause(ctx)
	}
}

func (t target) staysGone(ctx context.Context, id string) error {
	for until := time.Now().Add(t.limits.settle); time.Now().Before(until); {
		t.pause(ctx)
		job, err := t.ctl.print(ctx, id)
		if err != nil {
			return err
		}
		if job.loaded {
			return fault.New(fault.DeadlineExceeded, fmt.Sprintf("cannot unload %s: another program loads it again",
				id)).
				WithHint("quit the application that manages it, or run: launchctl disable " + id)
		}
	}
	return nil
}

func (t target) pause(ctx context.Context) {
	select {
	case <-time.After(t.limits.poll):
	case <-ctx.Done():
	}
}

// Restore bootstraps a service from the plist that it was loaded from.
func (u *Unloader) Restore(ctx context.Context, undo []byte) (bool, error) {
	t, err := u.target()
	if err != nil {
		return false, err
	}
	var r record
	if json.Unmarshal(undo, &r) != nil || r.Version != recordVersion || r.Manager != manager ||
		!labelPattern.MatchString(r.Label) ||
		r.Domain != t.domain || !filepath.IsAbs(r.Plist) {
		return false, fault.New(fault.InvalidArgument, "cannot restore a service: the record is not one of "+Name)
	}
	id := r.Domain + "/" + r.Label
	job, err := t.ctl.print(ctx, id)
	if err != nil || job.loaded {
		return false, err
	}
	if info, err := os.Stat(r.Plist); err != nil || !info.Mode().IsRegular() {
		return false, fault.Wrap(fault.NotFound, fmt.Sprintf("cannot restore %s: its file %s is gone", id, r.Plist),
			err).
			WithHint("install the service again: openclaw gateway install")
	}
	refusal := t.ctl.change(ctx, "bootstrap", r.Domain, r.Plist)
	if fault.CodeOf(refusal) == fault.PermissionDenied {
		return false, refusal
	}
	switch loaded, err := t.await(ctx, id, true); {
	case err != nil:
		return true, err
	case !loaded && refusal != nil:
		return true, refusal
	case !loaded:
		return true, fault.New(fault.DeadlineExceeded, fmt.Sprintf("cannot restore %s: it is not loaded after %v", id,
			t.limits.change))
	}
	return true, nil
}
