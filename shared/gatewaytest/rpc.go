package gatewaytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	scopeNone    = ""
	scopeRead    = "operator.read"
	scopeAdmin   = "operator.admin"
	scopePairing = "operator.pairing"
)

const restartRequest = "gateway.restart.request"

// method is one RPC that is played.
type method struct {
	scope string
	play  func(s *Server, c *conn, call Call) (any, error)
}

// methods is the table of all (docs/openclaw.md §7). What is not in it is unknown to callers with operator.admin and
// forbidden to all others; the hello names more methods than are played.
func methods() map[string]method {
	m := map[string]method{
		"health":                    {scopeNone, (*Server).sampled},
		"system.info":               {scopeRead, (*Server).systemInfo},
		"status":                    {scopeRead, (*Server).status},
		"last-heartbeat":            {scopeRead, nothing},
		restartRequest:              {scopeAdmin, (*Server).restartRequest},
		"gateway.suspend.prepare":   {scopeAdmin, (*Server).suspend},
		"gateway.suspend.status":    {scopeRead, (*Server).suspendStatus},
		"gateway.suspend.resume":    {scopeAdmin, (*Server).resume},
		"config.get":                {scopeRead, (*Server).configGet},
		"config.schema.lookup":      {scopeRead, (*Server).configLookup},
		"config.set":                {scopeAdmin, (*Server).configWrite},
		"config.patch":              {scopeAdmin, (*Server).configWrite},
		"config.apply":              {scopeAdmin, (*Server).configWrite},
		"logs.tail":                 {scopeRead, (*Server).logsTail},
		"device.pair.list":          {scopePairing, (*Server).sampled},
		"update.status":             {scopeAdmin, (*Server).sampled},
		"system-event":              {scopeAdmin, answering(map[string]any{"ok": true})},
		"cron.list":                 {scopeRead, answering(map[string]any{"jobs": []string{}})},
		"channels.start":            {scopeAdmin, noChannel},
		"channels.stop":             {scopeAdmin, noChannel},
		"gateway.restart.preflight": {scopeRead, (*Server).sampled},
	}
	for _, name := range []string{
		"system-presence", "gateway.identity.get", "channels.status", "node.list", "agents.list",
		"doctor.memory.status", "diagnostics.stability",
		"diagnostics.lanes", "models.list", "sessions.list", "cron.status",
	} {
		m[name] = method{scopeRead, (*Server).sampled}
	}
	return m
}

// answering always gives one answer.
func answering(answer any) func(*Server, *conn, Call) (any, error) {
	return func(*Server, *conn, Call) (any, error) { return answer, nil }
}

// nothing answers null.
func nothing(*Server, *conn, Call) (any, error) {
	return nil, nil //nolint:nilnil // null is the answer
}

func noChannel(*Server, *conn, Call) (any, error) {
	return nil, invalid("unknown channel")
}

// dispatch answers one call.
func (s *Server) dispatch(c *conn, call Call) (any, error) {
	if call.Method == "connect" && !c.s.release.lateConnect {
		return nil, invalid("connect is only valid as the first request")
	}
	if h := s.Handlers[call.Method]; h != nil {
		return h(s.life, call)
	}
	m, known := methods()[call.Method]
	if known && s.release.data != "" || s.lacks(call.Method) {
		known = s.advertised(call.Method)
	}
	if !known {
		m = method{scope: scopeAdmin} // so that other clients do not learn which methods exist
	}
	if m.scope != scopeNone && !allowed(call.Scopes, m.scope) {
		code := "FORBIDDEN"
		refusal := &Error{Code: code, Message: "missing scope: " + m.scope, Details: map[string]any{
			"code": "MISSING_SCOPE", "missingScope": m.scope, "requiredScopes": []string{m.scope},
		}}
		if s.release.plainForbidden {
			refusal = invalid(refusal.Message)
		}
		return nil, refusal
	}
	if !known {
		if s.advertised(call.Method) {
			return nil, &Error{Code: "UNAVAILABLE", Message: "the emulator does not play " + call.Method}
		}
		return nil, invalid("unknown method: " + call.Method)
	}
	if wait := s.limited(c, call.Method); wait > 0 {
		return nil, &Error{
			Code: "UNAVAILABLE", Message: fmt.Sprintf("rate limit exceeded for %s; retry after %ds", call.Method,
				(wait+time.Second-1)/time.Second), Retryable: true,
			RetryAfterMs: int(wait.Milliseconds()), Details: map[string]any{
				"method": call.Method,
				"limit":  fmt.Sprintf("%d per 60s", writesPerMinute),
			},
		}
	}
	if (call.Method == "health" || call.Method == "status") && s.suspension(c.g) != "" {
		return nil, &Error{
			Code: "UNAVAILABLE", Message: call.Method + " unavailable during gateway suspension", Retryable: true,
			RetryAfterMs: 1000,
			Details:      map[string]any{"method": call.Method, "reason": "gateway-suspending", "phase": "prepared"},
		}
	}
	if call.Method == "channels.status" && s.script.has("stale-install") { // measured on 2026.9.6
		return nil, &Error{
			Code: "UNAVAILABLE", Message: "The running Gateway can no longer load part of its OpenClaw installation. The " +
				"installation may have changed while the Gateway was running. Restart it with: openclaw gateway restart",
			Details: map[string]any{"code": "STALE_INSTALL", "restartCommand": "openclaw gateway restart"},
		}
	}
	return m.play(s, c, call)
}

// writesPerMinute is how often a device may make calls of a release's limited methods.
const writesPerMinute = 3

// limited says how long a device has to wait that wrote too often; 0 lets it.
func (s *Server) limited(c *conn, name string) time.Duration {
	if !slices.Contains(s.release.limited, name) {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	recent := slices.DeleteFunc(s.writes[c.who], func(at time.Time) bool { return time.Since(at) >= time.Minute })
	if len(recent) >= writesPerMinute {
		return time.Minute - time.Since(recent[0])
	}
	s.writes[c.who] = append(recent, time.Now())
	return 0
}

// allowed knows that admin may all and write may read.
func allowed(scopes []string, want string) bool {
	return slices.Contains(scopes, want) || slices.Contains(scopes, scopeAdmin) || want == scopeRead &&
		slices.Contains(scopes, "operator.write")
}

func (s *Server) advertised(name string) bool {
	return s.release.advertises(name) && !s.lacks(name)
}

// lacks reports whether a script took the method away.
func (s *Server) lacks(name string) bool {
	return name == restartRequest && s.script.has("no-restart-request")
}

func (s *Server) sampled(_ *conn, call Call) (any, error) {
	return s.fillValue(s.release.sample(call.Method)), nil
}

func (s *Server) systemInfo(c *conn, call Call) (any, error) {
	out := s.fill(asObject(s.release.sample(call.Method)))
	out["pid"], out["port"], out["uptimeMs"], out["processInstanceId"] = pid(), s.PortNumber(),
		time.Since(c.g.began).Milliseconds(), c.g.bootID
	return out, nil
}

func (s *Server) status(_ *conn, call Call) (any, error) {
	out := s.fill(asObject(s.release.sample(call.Method)))
	out["runtimeVersion"] = s.Version
	if out["pid"] != nil {
		out["pid"] = pid()
	}
	return out, nil
}

func (s *Server) logsTail(_ *conn, call Call) (any, error) {
	var p map[string]json.RawMessage
	_ = json.Unmarshal(call.Params, &p) // what is no object has no limit
	if raw, ok := p["limit"]; ok {
		if wrong := anInteger(raw); wrong != "" {
			return nil, invalid("invalid logs.tail params: at /limit: " + wrong)
		}
	}
	return s.fill(asObject(s.release.sample(call.Method))), nil
}

// restartRequest schedules a restart; while one is under way it says so.
func (s *Server) restartRequest(c *conn, call Call) (any, error) {
	var p struct {
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(call.Params, &p) // unknown params are ignored
	s.mu.Lock()
	again := c.g.restarting
	c.g.restarting = true
	s.mu.Unlock()
	status := "scheduled"
	if again {
		status = "coalesced"
	} else {
		s.tasks.Go(func() {
			if !s.sleep(s.life, nil, 40*time.Millisecond) { // after the answer
				return
			}
			if s.requested != nil {
				s.requested(p.Reason)
				return
			}
			_ = s.Restart(s.life, p.Reason)
		})
	}
	restart := map[string]any{
		"ok": true, "pid": pid(), "signal": s.release.restartSignal, "reason": p.Reason, "mode": "emit",
		"cooldownMsApplied": 0, "delayMs": 0,
		"coalesced": again,
	}
	if s.release.data == "" {
		restart["emitHooksQueued"] = false
	}
	return map[string]any{
		"ok": true, "status": status, "preflight": s.release.sample("gateway.restart.preflight"), "restart": restart,
	}, nil
}

func (s *Server) suspension(g *generation) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.suspended
}

func (s *Server) suspend(c *conn, call Call) (any, error) {
	var p struct {
		RequestID string `json:"requestId"`
		Drain     bool   `json:"drain"`
	}
	if json.Unmarshal(call.Params, &p) != nil || p.RequestID == "" {
		return nil, invalid("invalid gateway.suspend.prepare params")
	}
	busy, has := s.script.after("busy")
	active := has && time.Since(c.g.began) < busy
	if active && !p.Drain {
		return map[string]any{
			"status": "busy", "reason": "active work", "retryAfterMs": 500, "activeCount": 1,
			"blockers": blockers(),
		}, nil
	}
	s.mu.Lock()
	if c.g.suspended == "" {
		c.g.suspended = newID()
	}
	id := c.g.suspended
	s.mu.Unlock()
	if active {
		s.Broadcast("gateway.suspension", map[string]any{"phase": "draining"})
		return map[string]any{
			"status": "draining", "suspensionId": id, "expiresAtMs": time.Now().Add(2 * time.Minute).UnixMilli(),
			"retryAfterMs": 500,
			"activeCount":  1, "blockers": blockers(),
		}, nil
	}
	s.Broadcast("gateway.suspension", map[string]any{"phase": "preparing"})
	s.Broadcast("gateway.suspension", map[string]any{"phase": "prepared"})
	return map[string]any{
		"status": "ready", "suspensionId": id, "expiresAtMs": time.Now().Add(2 * time.Minute).UnixMilli(),
		"activeCount": 0, "blockers": []string{},
		"writeCustody": []string{},
	}, nil
}

func blockers() []map[string]any {
	return []map[string]any{{"kind": "root-request", "count": 1, "message": "1 active request"}}
}

func (s *Server) suspendStatus(c *conn, call Call) (any, error) {
	var p struct {
		SuspensionID string `json:"suspensionId"`
	}
	if json.Unmarshal(call.Params, &p) != nil || p.SuspensionID == "" {
		return nil, invalid("invalid gateway.suspend.status params")
	}
	if s.suspension(c.g) == "" {
		return map[string]any{"status": "running"}, nil
	}
	return map[string]any{
		"status": "ready", "expiresAtMs": time.Now().Add(2 * time.Minute).UnixMilli(),
		"writeCustody": []string{},
	}, nil
}

func (s *Server) resume(c *conn, call Call) (any, error) {
	var p struct {
		SuspensionID string `json:"suspensionId"`
	}
	if json.Unmarshal(call.Params, &p) != nil || p.SuspensionID == "" {
		return nil, invalid("invalid gateway.suspend.resume params")
	}
	s.mu.Lock()
	resumed := c.g.suspended == p.SuspensionID
	if resumed {
		c.g.suspended = ""
	}
	s.mu.Unlock()
	if resumed {
		s.Broadcast("gateway.suspension", map[string]any{"phase": "accepting"})
	}
	return map[string]any{"ok": true, "status": "running", "resumed": resumed}, nil
}
