package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

const idStart = "base/start"

func baseChecks() []Check {
	return []Check{
		{
			ID: idStart, Kind: Base, Title: "the host can start it: file, handshake, Describe, versions, its table",
			Row: "Plugin.Describe, Plugin.Configure", try: func(context.Context, *runner) error { return nil },
		},
		{
			ID: "base/describe", Kind: Base, Title: "Describe gives the same, well-formed answer each time",
			Row: "Plugin.Describe: idempotent", try: baseDescribe,
		},
		{
			ID: "base/kinds-served", Kind: Base, Title: "it serves every kind that it announces",
			Row: "DescribeResponse.services", try: baseKinds,
		},
		{
			ID: "base/config-not-json", Kind: Base, Title: "a table that is no JSON object is refused",
			Row: "Plugin.Configure: INVALID_ARGUMENT", try: configNotJSON,
		},
		{
			ID: "base/config-unknown-key", Kind: Base, Title: "an unknown key gets a diagnostic",
			Row: "Plugin.Configure: faults are diagnostics", try: configUnknownKey,
		},
		{
			ID: "base/config-wrong-type", Kind: Base,
			Title: "a value of a wrong type gets a diagnostic that names its key",
			Row:   "Plugin.Configure: faults are diagnostics", try: configWrongType,
		},
		{
			ID: "base/config-large", Kind: Base, Title: "a huge and a deep table are answered",
			Row: "Plugin.Configure: start_timeout", try: configLarge,
		},
		{
			ID: "base/config-refused", Kind: Base, Title: "a refused table leaves the former one in force",
			Row: "Plugin.Configure: refuses the table as a whole", try: configRefused,
		},
		{
			ID: "base/socket-secret", Kind: Base, Title: "without mutual TLS it serves only calls that carry its secret",
			Row: "docs/plugin-wire.md: Who calls", process: true, try: baseSecret,
		},
	}
}

var (
	pluginNames = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	semver      = regexp.MustCompile(
		`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
)

func baseDescribe(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	client := pb.NewPluginServiceClient(p.Conn())
	describe := func() (*pb.DescribeResponse, error) {
		bound, cancel := rn.within(ctx, startTimeout)
		defer cancel()
		r, err := client.Describe(bound,
			&pb.DescribeRequest{Host: &pb.HostInfo{Version: "devel", Os: "linux", Arch: "amd64"}})
		if lost := rn.lost(p, "Plugin.Describe", err); lost != nil {
			return nil, lost
		}
		if err != nil {
			return nil, breach("Describe has no errors that are meant", "Describe fails: %v", fault.FromStatus(err))
		}
		return r, nil
	}
	first, err := describe()
	if err != nil {
		return err
	}
	for range 5 {
		again, err := describe()
		if err != nil {
			return err
		}
		if !proto.Equal(first, again) {
			return breach("build the answer once, and keep its lists in one order",
				"asked again Describe answers something else: %v; before: %v", again, first)
		}
	}
	return judgeDescription(first)
}

func judgeDescription(r *pb.DescribeResponse) error {
	switch {
	case !pluginNames.MatchString(r.GetName()):
		return breach("lower-case words joined by hyphens", "it calls itself %q", r.GetName())
	case !semver.MatchString(r.GetVersion()):
		return breach("semantic versioning without a leading v, for example 0.1.0", "its version is %q", r.GetVersion())
	case len(r.GetServices()) == 0:
		return breach("list what it serves", "it lists no service")
	}
	kinds := map[pb.Kind]bool{}
	for _, s := range r.GetServices() {
		if kinds[s.GetKind()] {
			return breach("list each kind once, with the range of its versions", "it lists the kind %v twice",
				s.GetKind())
		}
		kinds[s.GetKind()] = true
		if s.GetKind() == pb.Kind_KIND_UNSPECIFIED || s.GetMinVersion() == 0 || s.GetMinVersion() > s.GetMaxVersion() {
			return breach("each service has a kind and a range of versions, from 1 on",
				"it lists a service %v in versions %d to %d", s.GetKind(), s.GetMinVersion(), s.GetMaxVersion())
		}
	}
	for _, f := range r.GetConfigFields() {
		if f.GetPath() == "" || !slices.Contains([]string{"string", "integer", "float", "boolean", "array", "table"},
			f.GetType()) {
			return breach("string, integer, float, boolean, array or table", "the key %q of its table has the type %q",
				f.GetPath(), f.GetType())
		}
		if d := f.GetDefaultJson(); d != "" && !json.Valid([]byte(d)) {
			return breach("write the default as JSON", "the default of the key %q is %q, which is not JSON",
				f.GetPath(), d)
		}
	}
	for _, g := range r.GetWantedGrants() {
		if err := plugin.CheckGrant(g); err != nil {
			return breach(strings.Join(plugin.Grants(), ", ")+" or "+plugin.GrantCommand+"WORDS",
				"it wants the grant %q, which %v", g, err)
		}
	}
	return nil
}

func baseKinds(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	for _, s := range rn.info.Services {
		if !rn.served(ctx, s.Kind) {
			return breach("serve it, or take it out of Describe", "it announces the kind %s and does not serve it: %v",
				s.Kind, fault.FromStatus(rn.answers[s.Kind]))
		}
		if lost := rn.lost(p, "a first call as "+string(s.Kind), rn.answers[s.Kind]); lost != nil {
			return lost
		}
	}
	return nil
}

// configure sends a table, in the surroundings that the plugin has.
func (rn *runner) configure(ctx context.Context, p Process, what string, table []byte) (*pb.ConfigureResponse, error) {
	asked := p.Asked()
	bound, cancel := rn.within(ctx, startTimeout)
	defer cancel()
	r, err := pb.NewPluginServiceClient(p.Conn()).Configure(bound, &pb.ConfigureRequest{
		ConfigJson: table, Name: asked.Name, Grants: asked.Grants,
		Directories: &pb.Directories{
			Data: asked.Directories.Data, Run: asked.Directories.Run,
			Runtime: asked.Directories.Runtime,
		},
	})
	if lost := rn.lost(p, "Configure with "+what, err); lost != nil {
		return nil, lost
	}
	return r, err
}

// refused reports whether a diagnostic refuses the table.
func refused(r *pb.ConfigureResponse) bool {
	return slices.ContainsFunc(r.GetDiagnostics(),
		func(d *pb.Diagnostic) bool { return d.GetSeverity() == pb.Severity_SEVERITY_ERROR })
}

// restore gives the plugin its own table again.
func (rn *runner) restore(ctx context.Context, p Process) error {
	r, err := rn.configure(ctx, p, "its own table again", p.Asked().Config)
	if err == nil && refused(r) {
		err = breach("take each table as if it were the first", "it refuses its own table after a faulty one: %s",
			remarks(r))
	}
	return err
}

func remarks(r *pb.ConfigureResponse) string {
	var out []string
	for _, d := range r.GetDiagnostics() {
		out = append(out, strings.TrimPrefix(d.GetPath()+": "+d.GetMessage(), ": "))
	}
	return strings.Join(out, "; ")
}

func configNotJSON(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	for _, table := range []string{`{`, `{"a": }`, `[]`, `"text"`, `7`, "\xff\xfe{}"} {
		r, err := rn.configure(ctx, p, "a table that is not a JSON object", []byte(table))
		if _, broken := errors.AsType[*violation](err); broken {
			return err
		}
		if err != nil && fault.CodeOf(fault.FromStatus(err)) != fault.InvalidArgument {
			return breach("answer INVALID_ARGUMENT, or a diagnostic of severity ERROR", "the table %q fails with %v",
				table, fault.FromStatus(err))
		}
		if err == nil && !refused(r) {
			return breach("answer INVALID_ARGUMENT, or a diagnostic of severity ERROR", "it takes the table %q", table)
		}
	}
	return rn.restore(ctx, p)
}

const unknownKey = "gatehost_verify_no_such_key"

// tableWith is the plugin's own table with more in it.
func tableWith(own []byte, more map[string]any) []byte {
	table := map[string]any{}
	if len(own) > 0 && json.Unmarshal(own, &table) != nil {
		table = map[string]any{}
	}
	for path, v := range more {
		at := table
		parts := strings.Split(path, ".")
		for _, key := range parts[:len(parts)-1] {
			next, ok := at[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = v
	}
	out, err := json.Marshal(table)
	if err != nil {
		return []byte("{}") // it holds what JSON can hold
	}
	return out
}

func configUnknownKey(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	r, err := rn.configure(ctx, p, "an unknown key", tableWith(p.Asked().Config, map[string]any{unknownKey: 1}))
	if err != nil {
		return faulty("an unknown key", err)
	}
	if len(r.GetDiagnostics()) == 0 {
		return breach("answer a diagnostic, or the operator's typing error goes unseen",
			"it takes a table with the key %q and says nothing", unknownKey)
	}
	return rn.restore(ctx, p)
}

// faulty is the breach of a plugin that reported a fault of its table as an error.
func faulty(what string, err error) error {
	if _, broken := errors.AsType[*violation](err); broken {
		return err
	}
	return breach("answer a diagnostic with the key's path: the host shows it with the line of config.toml",
		"%s fails with an error and not with a diagnostic: %v", what, fault.FromStatus(err))
}

func configWrongType(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	if len(rn.info.ConfigFields) == 0 {
		return skip("its table has no keys")
	}
	for _, f := range rn.info.ConfigFields {
		var wrong any = 17
		if f.Type != "string" && f.Type != "array" && f.Type != "table" {
			wrong = "a text"
		}
		what := fmt.Sprintf("the key %q as %T and not %s", f.Path, wrong, f.Type)
		r, err := rn.configure(ctx, p, what, tableWith(p.Asked().Config, map[string]any{f.Path: wrong}))
		if err != nil {
			return faulty(what, err)
		}
		named := slices.ContainsFunc(r.GetDiagnostics(), func(d *pb.Diagnostic) bool {
			return d.GetSeverity() == pb.Severity_SEVERITY_ERROR &&
				(d.GetPath() == f.Path || strings.HasPrefix(d.GetPath(), f.Path+".") ||
					strings.HasPrefix(d.GetPath(), f.Path+"["))
		})
		if !named {
			return breach("answer a diagnostic of severity ERROR with the key's path",
				"%s gets no diagnostic with its path; it says: %q", what, remarks(r))
		}
	}
	return rn.restore(ctx, p)
}

// deepest is how deep a table of config.toml may be nested.
const deepest = 60

func configLarge(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	var deep any = 1
	for range deepest {
		deep = map[string]any{"t": []any{deep}}
	}
	for what, v := range map[string]any{
		"a text of 8 MiB":   strings.Repeat("x", 8<<20),
		"a list of 100,000": make([]int, 100_000), "tables in tables": deep,
	} {
		if _, err := rn.configure(ctx, p, what,
			tableWith(p.Asked().Config, map[string]any{unknownKey: v})); err != nil {
			return faulty(what, err)
		}
	}
	return rn.restore(ctx, p)
}

func configRefused(ctx context.Context, rn *runner) error {
	p, err := rn.own(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	want, err := rn.ask(ctx, p)
	if err != nil {
		return skip("it does not answer a first question: %v", err)
	}
	more := map[string]any{unknownKey: 1}
	for _, f := range rn.info.ConfigFields { // the values that it would use if it took the table
		more[f.Path] = plausible(f)
	}
	r, err := rn.configure(ctx, p, "a faulty table", tableWith(p.Asked().Config, more))
	switch {
	case err != nil:
		return skip("it answers a faulty table with an error: see base/config-unknown-key")
	case !refused(r):
		return skip("it does not refuse a table with an unknown key")
	}
	got, err := rn.ask(ctx, p)
	if err != nil {
		return err
	}
	if got != want {
		return breach("decode all of it first, then put it in force",
			"after a table that it refused it answers %q, before it answered %q", strings.TrimSpace(got),
			strings.TrimSpace(want))
	}
	return rn.restore(ctx, p)
}

// plausible is a value of the key's type that is probably not its present one.
func plausible(f plugin.ConfigField) any {
	switch f.Type {
	case "integer":
		return 3
	case "float":
		return 0.5
	case "boolean":
		return f.DefaultJSON != "true"
	case "array":
		return []any{"gatehost-verify"}
	case "table":
		return map[string]any{}
	default:
		return "gatehost-verify"
	}
}

// bounded waits for c, but not longer than d.
func bounded(ctx context.Context, d time.Duration, c <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}
