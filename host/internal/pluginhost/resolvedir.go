package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/host/internal/tomltext"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// resolveDir checks a directory by its manifest: the pin is the manifest's checksum, and the manifest has the checksums
// of all files. The pin is compared first: when it does not match, that is the answer, whatever the manifest holds.
// What resolveDir returns beside an error has no file, but has the manifest, as far as that is valid.
func resolveDir(ctx context.Context, s Spec, path string) (*executable, error) {
	if err := checkDirs(s, path); err != nil {
		return nil, err
	}
	text, err := manifest.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, refuse(fault.InvalidArgument, s, path, "it is a directory without "+manifest.Name,
			"name the executable inside it, or write "+manifest.Name+" and run `gatehost plugin seal` on the directory")
	case err != nil:
		return nil, refuseDir(s, path, err)
	}
	mismatch := comparePin(s, path, "the manifest's", text.SHA256)
	m, err := text.Parse()
	if err != nil {
		return nil, cmp.Or(mismatch, refuseDir(s, path, err))
	}
	exe := &executable{path: path, argv: m.Argv(), manifest: m, checked: true}
	if mismatch != nil { // the manifest is only shown: it is what the operator examines before pinning it
		return exe, mismatch
	}
	exe.file, err = m.Open(ctx)
	switch {
	case ctx.Err() != nil:
		return exe, context.Cause(ctx)
	case err != nil:
		return exe, refuseDir(s, path, err)
	case exe.file == nil:
		exe.file, err = openInterpreter(s, m.Interpreter())
	}
	return exe, err
}

// refuseDir says what is wrong with a manifest or its files, all of it in one line.
func refuseDir(s Spec, path string, err error) error {
	code, hint := fault.PermissionDenied, "correct "+filepath.Join(path, manifest.Name)
	if _, faults := errors.AsType[tomltext.Faults](err); faults {
		code = fault.InvalidArgument
	}
	if errors.Is(err, manifest.ErrUnsealed) {
		code, hint = fault.FailedPrecondition, "run `gatehost plugin seal "+path+"` after checking where it came from"
	}
	return refuse(code, s, path, strings.ReplaceAll(err.Error(), "\n", "; "), hint)
}

// openInterpreter opens the program that runs a plugin's file. It belongs to the system or the operator: no checksum is
// known, but no other user may change it, and it must be a program and not a script, which might run anything.
func openInterpreter(s Spec, path string) (*os.File, error) {
	f, err := openProgram(s, path, "the interpreter that its manifest names is not there",
		"install it, or correct `run` in "+manifest.Name)
	if err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := io.ReadFull(f, head[:]); err == nil && string(head[:]) == "#!" {
		return nil,
			errors.Join(refuse(fault.InvalidArgument, s, path,
				"the interpreter that its manifest names is itself a script",
				"name the program that it starts, in `run` of "+manifest.Name), f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// socket reports whether the plugin speaks without mutual TLS: as the operator says, or else as its manifest says.
func (e *executable) socket(s Spec) bool {
	if s.Transport == "" && e.manifest != nil {
		return e.manifest.Transport == TransportSocket
	}
	return s.Transport == TransportSocket
}

// sandboxOf returns the sandbox of a plugin: what the operator gave, its own directories, and of its own directory what
// the manifest lists. What is not listed was not checked, so an interpreter must not find it.
func (e *executable) sandboxOf(s Spec, writes ...string) sandbox.Spec {
	spec := *s.Sandbox
	spec.Write = append(slices.Clip(spec.Write), writes...)
	if m := e.manifest; m != nil {
		spec.Read = append(slices.Clip(spec.Read), filepath.Join(m.Dir, manifest.Name))
		for name := range m.Files {
			spec.Read = append(spec.Read, filepath.Join(m.Dir, filepath.FromSlash(name)))
		}
		spec.List = append(slices.Clip(spec.List), m.Dir)
	}
	return spec
}

// lacks returns in words what a plugin's manifest asks for and the operator has not given; "" when there is nothing.
func (e *executable) lacks(s Spec) string {
	m := e.manifest
	if m == nil {
		return ""
	}
	var out []string
	for _, g := range m.Grants {
		if !slices.Contains(s.Grants, g) {
			out = append(out, fmt.Sprintf("plugins.%s.grant %q", s.Name, g))
		}
	}
	if s.Sandbox == nil {
		return strings.Join(out, ", ")
	}
	for key, asked := range map[string][]string{"read": m.Read, "write": m.Write} {
		for _, p := range asked {
			if !sandbox.Inside(p, s.Sandbox.Write) && (key == "write" || !sandbox.Inside(p, s.Sandbox.Read)) {
				out = append(out, fmt.Sprintf("plugins.%s.sandbox.%s %q", s.Name, key, p))
			}
		}
	}
	if m.Network && !s.Sandbox.Network {
		out = append(out, "plugins."+s.Name+".sandbox.network = true")
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// missing returns advice for a plugin of a directory that cannot begin: what it may lack. "" when nothing is known.
func (e *executable) missing(s Spec) string {
	if e.manifest == nil {
		return ""
	}
	var out []string
	if lacks := e.lacks(s); lacks != "" {
		out = append(out, "its manifest asks for what it is not given: "+lacks)
	}
	program := e.manifest.Interpreter()
	if system, _ := sandbox.System(); s.Sandbox != nil && program != "" && !sandbox.Inside(program, system) &&
		!sandbox.Inside(program, s.Sandbox.Read) {
		out = append(out, fmt.Sprintf("its interpreter %s is outside of what every plugin may read: it is given that file, "+
			"and the rest that it needs has to be asked for by `[sandbox] read` of %s and given by plugins.%s.sandbox.read",
			program, manifest.Name, s.Name))
	}
	return strings.Join(out, "; ")
}

// compare refuses a plugin that describes itself in another way than its manifest does: one of them is not what the
// operator has examined.
func (s *supervisor) compare(gen *generation, info plugin.Info) error {
	m := gen.exe.manifest
	if m == nil {
		return nil
	}
	var why []string
	if info.Name != m.Plugin {
		why = append(why, fmt.Sprintf("it says that its name is %q, its %s says %q", info.Name, manifest.Name,
			m.Plugin))
	}
	for _, kind := range m.Kinds {
		if !info.Serves(plugin.Kind(kind)) {
			why = append(why, fmt.Sprintf("its %s says that it serves as %s, and it does not", manifest.Name, kind))
		}
	}
	for _, svc := range info.Services {
		if !slices.Contains(m.Kinds, string(svc.Kind)) {
			why = append(why, fmt.Sprintf("it serves as %s, which its %s does not say", svc.Kind, manifest.Name))
		}
	}
	if len(why) > 0 {
		return permanent{s.refuse(gen, fault.FailedPrecondition, strings.Join(why, "; "),
			"correct "+manifest.Name+" or the plugin; seal it, and pin it again")}
	}
	if info.Version != m.Version {
		s.log.Warn("plugin announces another version than its manifest", "version", info.Version, "manifest", m.Version)
	}
	return nil
}

// tellWithheld logs what a plugin asks for and does not get: it works without, and the operator may want to know.
func (s *supervisor) tellWithheld(gen *generation) {
	wants := slices.Clone(gen.info.WantedGrants)
	if gen.exe.manifest != nil {
		wants = append(wants, gen.exe.manifest.Grants...)
	}
	slices.Sort(wants)
	for _, g := range slices.Compact(wants) {
		if !slices.Contains(gen.spec.Grants, g) {
			s.log.Info("plugin asks for a grant that it was not given", "grant", g, "key",
				"plugins."+gen.spec.Name+".grant")
		}
	}
}
