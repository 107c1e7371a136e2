package gatewaytest

import (
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"time"
)

// configStore is the configuration that a running gateway uses.
type configStore struct {
	mu      sync.Mutex // guards all below
	path    string     // "": in memory
	current snapshot
}

func (st *configStore) load(path string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.path, st.current = path, snapshot{value: map[string]any{}}
	if path == "" {
		return nil
	}
	got, err := readConfig(path)
	if err != nil {
		return err
	}
	if got.valid() {
		st.current = got
	}
	return nil
}

func (st *configStore) get() snapshot {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.current
}

func (st *configStore) set(s snapshot) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.current = s
}

func (s *Server) configGet(*conn, Call) (any, error) {
	c := s.config.get()
	if path := s.ConfigPath; path != "" {
		got, err := readConfig(path)
		if err != nil {
			return nil, err
		}
		c = got
	}
	var raw any
	if c.exists {
		raw = c.hiddenRaw()
	}
	source, running := hidden(c.source()), hidden(c.running())
	issues := []any{}
	for _, i := range c.issues {
		issues = append(issues, map[string]any{"path": i.path, "message": i.message})
	}
	out := map[string]any{
		"path": s.configPath(), "includedPaths": []string{}, "exists": c.exists, "raw": raw, "parsed": hidden(c.value),
		"sourceConfig": source,
		"resolved":     source, "valid": c.valid(), "runtimeConfig": running, "config": running, "hash": c.hash(),
		"issues": issues, "warnings": []string{},
		"legacyIssues": []string{}, "configRevisionHash": c.hash(), "appliedConfigHash": s.config.get().hash(),
	}
	for _, name := range s.release.configLacks {
		delete(out, name)
	}
	if c.exists && s.release.configLacks == nil {
		out["includeProvenance"], out["agentRosterIncludeOwned"], out["bindingsIncludeOwned"] = []string{}, false, false
	}
	return out, nil
}

// configWrite is config.set, .patch and .apply (docs/openclaw.md §10). set and apply take the shape of config.get's
// config.
func (s *Server) configWrite(_ *conn, call Call) (any, error) {
	var p struct {
		Raw      *string `json:"raw"`
		BaseHash string  `json:"baseHash"`
		Note     *string `json:"note"`
	}
	if json.Unmarshal(call.Params, &p) != nil || p.Raw == nil {
		return nil, invalid("invalid " + call.Method + " params: must have required property 'raw'")
	}
	now := s.config.get()
	if s.ConfigPath != "" {
		got, err := readConfig(s.ConfigPath)
		if err != nil {
			return nil, err
		}
		now = got
	}
	patch, _, err := parse5(*p.Raw)
	switch {
	case err != nil:
		return nil, invalid(err.Error())
	case p.BaseHash == "" && call.Method == "config.patch" && (now.exists || !s.release.lateHash):
		return nil,
			invalid("config base hash required for " + strings.Join(changed(now.value, merge(now.value, patch), ""),
				", ") + "; re-run config.get and retry with baseHash")
	case p.BaseHash == "" && now.exists:
		return nil, invalid("config base hash required; re-run config.get and retry")
	case now.exists && p.BaseHash != now.hash():
		return nil, invalid("config changed since last load; re-run config.get and retry")
	}
	if call.Method == "config.patch" {
		patch = merge(now.value, patch)
	}
	given, refusal := restored(patch, now.running(), "")
	if refusal != nil {
		return nil, refusal
	}
	next := asObject(given)
	if call.Method != "config.patch" {
		next = asObject(project(now.value, now.running(), given))
	}
	next["meta"] = map[string]any{"migrations": map[string]any{
		"modelPolicyAllowlist":   true,
		"utilityModelSeparation": true,
	}, "lastTouchedVersion": s.Version}
	written := parseConfig(render(next))
	if !written.valid() {
		return nil, invalidConfig(written)
	}
	paths := []string{}
	for _, path := range changed(now.value, written.value, "") {
		if path != "meta" {
			paths = append(paths, path)
		}
	}
	s.config.set(written) // before the file, so that a watcher of the file finds nothing new
	if s.ConfigPath != "" {
		if err := replaceFile(s.ConfigPath, written.raw); err != nil {
			return nil, err
		}
	}
	restart := restartPath(paths)
	s.tasks.Go(func() {
		if s.sleep(s.life, nil, 40*time.Millisecond) { // after the answer
			s.applyConfig(written, paths)
		}
	})
	answer := map[string]any{
		"ok": true, "path": s.configPath(), "hash": written.hash(),
		"config": hidden(written.source()),
	}
	if call.Method == "config.set" { // it acknowledges that it is written, and nothing more
		return answer, nil
	}
	maps.Copy(answer, map[string]any{
		"changedPaths": paths,
		"sentinel": map[string]any{"persisted": true, "payload": map[string]any{
			"kind": "config-patch", "status": "ok", "ts": time.Now().UnixMilli(), "message": p.Note,
			"doctorHint": "Recommended follow-up: run openclaw doctor --non-interactive in a terminal or approvals-capable " +
				"OpenClaw surface.",
			"stats": map[string]any{"mode": call.Method, "root": s.configPath(), "requiresRestart": restart != ""},
		}},
	})
	return answer, nil
}

func invalidConfig(c snapshot) *Error {
	refusal := invalid("invalid config: ")
	issues := []any{}
	for i, x := range c.issues {
		if i == 0 {
			refusal.Message += x.path + ": " + x.message
		}
		issues = append(issues, map[string]any{"path": x.path, "message": x.message})
	}
	refusal.Details = map[string]any{"issues": issues}
	return refusal
}

// applyConfig applies a new configuration to a running gateway; it restarts for what it cannot change otherwise.
func (s *Server) applyConfig(next snapshot, paths []string) {
	s.config.set(next)
	if len(paths) == 0 {
		return
	}
	s.say("reload", "config change detected; evaluating reload ("+strings.Join(paths, ", ")+")")
	s.Broadcast("config.changed", map[string]any{
		"path": s.configPath(), "hash": next.hash(),
		"ts": time.Now().UnixMilli(),
	})
	restart := restartPath(paths)
	if restart == "" {
		s.say("reload", "config hot reload applied ("+strings.Join(paths, ", ")+")")
		return
	}
	s.warn("reload", "config change requires gateway restart ("+restart+") — preparing")
	if !s.wait(s.life, nil, 600*time.Millisecond) {
		return
	}
	if s.requested != nil {
		s.requested("config reload: " + restart)
		return
	}
	_ = s.Restart(s.life, "config reload: "+restart)
}
