package view

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Plugin returns the state of a plugin in the API's words.
func Plugin(p pluginhost.State, path string) control.Plugin {
	out := control.Plugin{
		Name: p.Name, Version: p.Version, PID: p.PID, State: p.State, Restarts: p.Restarts, Path: path,
	}
	for _, s := range p.Services {
		if s.Version > 0 {
			out.Services = append(out.Services, string(s.Kind))
		}
		out.Negotiated = append(out.Negotiated, negotiated(s))
	}
	out.UnknownKinds, out.Homepage = p.UnknownKinds, p.Homepage
	for _, f := range p.Fields {
		out.ConfigFields = append(out.ConfigFields, control.PluginConfigField{
			Path: f.Path, Type: f.Type, Required: f.Required, Default: f.DefaultJSON, Doc: f.Doc,
		})
	}
	if p.Err != nil {
		out.Error = Failure(p.Err)
	}
	return out
}

// PluginEvent returns the data of an event about a plugin.
func PluginEvent(s pluginhost.State) control.PluginData {
	d := control.PluginData{State: s.State, PID: s.PID, Version: s.Version, Restarts: s.Restarts}
	if s.Err != nil {
		d.Error = Failure(s.Err)
	}
	return d
}

func negotiated(s pluginhost.Service) control.Negotiated {
	out := control.Negotiated{
		Service: string(s.Kind), Version: s.Version, Host: control.Versions(s.Host),
	}
	for _, v := range s.Plugin {
		out.Plugin = append(out.Plugin, control.Versions(v))
	}
	if s.Err != nil {
		out.Error = Failure(s.Err)
	}
	return out
}

// Trust adds to a plugin's status what an operator needs in order to trust it: what it is, what it asks for, what it
// was given, and what it tried.
func Trust(out *control.Plugin, s pluginhost.State, p *config.Plugin) {
	sandboxed := out.Sandbox != nil && out.Sandbox.State == control.SandboxOn
	out.Manifest, out.Pin, out.Asks = manifestOf(s.Manifest), pinOf(s, p), asksOf(s, p, sandboxed)
	for _, r := range s.Refused {
		out.Refused = append(out.Refused, control.PluginRefusal{
			What: r.What, Key: r.Key, Times: r.Times, Last: control.At(r.Last),
		})
	}
}

func manifestOf(m *manifest.Manifest) *control.PluginManifest {
	if m == nil {
		return nil
	}
	return &control.PluginManifest{
		Path: m.Dir, Name: m.Plugin, Version: m.Version, Kinds: m.Kinds, Run: m.Run, Transport: m.Transport, SHA256: m.SHA256,
		Files: len(m.Files),
	}
}

// pinOf says whether the file that was started last, or was to be started, is the one that was pinned.
func pinOf(s pluginhost.State, p *config.Plugin) *control.PluginPin {
	if p.SHA256 == "" {
		return &control.PluginPin{State: control.PinNone}
	}
	out := &control.PluginPin{State: control.PinHolds, SHA256: strings.ToLower(p.SHA256)}
	if f, ok := errors.AsType[*fault.Error](s.Err); ok && f.Details[pluginhost.DetailSHA256] != "" {
		out.State, out.Found = control.PinMismatch, f.Details[pluginhost.DetailSHA256]
	}
	return out
}

// asksOf lists each thing that the plugin asks for, by its manifest or when it described itself, and each thing that it
// was given and does not ask for. A plugin without a sandbox has all files and the network anyway.
func asksOf(s pluginhost.State, p *config.Plugin, sandboxed bool) []control.PluginAsk {
	m := s.Manifest
	if m == nil {
		m = &manifest.Manifest{}
	}
	table := "plugins." + p.Name + "."
	out := asks(control.AskGrant, table+"grant", slices.Concat(m.Grants, s.Wants), p.Grant, slices.Contains)
	box := table + "sandbox."
	given := p.Sandbox
	if !sandboxed {
		given = config.Sandbox{Network: m.Network}
	}
	out = append(out, asks(control.AskRead, box+"read", m.Read, given.Read, func(_ []string, path string) bool {
		return !sandboxed || sandbox.Inside(path, given.Read) || sandbox.Inside(path, given.Write)
	})...)
	out = append(out, asks(control.AskWrite, box+"write", m.Write, given.Write, func(_ []string, path string) bool {
		return !sandboxed || sandbox.Inside(path, given.Write)
	})...)
	if m.Network || given.Network {
		out = append(out, control.PluginAsk{
			What: control.AskNetwork, Asked: m.Network, Given: given.Network, Key: box + "network",
		})
	}
	return out
}

// asks joins what was asked for and what was given. has reports whether one thing is among the given.
func asks(what, key string, asked, given []string, has func(given []string, one string) bool) []control.PluginAsk {
	var out []control.PluginAsk
	for _, one := range asked {
		if !slices.ContainsFunc(out, func(a control.PluginAsk) bool { return a.Value == one }) {
			out = append(out, control.PluginAsk{What: what, Value: one, Asked: true, Given: has(given, one), Key: key})
		}
	}
	for _, one := range given {
		if !slices.Contains(asked, one) {
			out = append(out, control.PluginAsk{What: what, Value: one, Given: true, Key: key})
		}
	}
	slices.SortStableFunc(out, func(a, b control.PluginAsk) int { return cmp.Compare(a.Value, b.Value) })
	return out
}
