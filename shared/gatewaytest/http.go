package gatewaytest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// serveHTTP is the HTTP side: probes, the WebSocket, and the Control UI's page for everything else.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	g := s.current
	s.mu.Unlock()
	switch {
	case websocket.IsWebSocketUpgrade(r):
		s.upgrade(g, w, r)
	case s.script.has("hang-probes"):
		<-r.Context().Done()
	case s.script.has("no-probes"):
		page(w)
	default:
		s.probe(g, w, r)
	}
}

func (s *Server) probe(g *generation, w http.ResponseWriter, r *http.Request) {
	up := time.Since(g.began).Milliseconds()
	failing := s.failing(g)
	switch r.URL.Path {
	case "/healthz", "/health":
		answer(w, r, http.StatusOK, map[string]any{"ok": true, "status": "live"})
	case "/readyz", "/ready":
		if failing != "" {
			answer(w, r, http.StatusServiceUnavailable, map[string]any{
				"ready": false, "failing": []string{failing},
				"uptimeMs": up,
			})
			return
		}
		ok := map[string]any{
			"ready": true, "failing": []string{}, "uptimeMs": up,
			"eventLoop": s.release.sample("system.info", "eventLoop"),
		}
		if s.release.protocol < 4 {
			delete(ok, "eventLoop")
		}
		answer(w, r, http.StatusOK, ok)
	case "/startupz", "/startup":
		if s.release.pages {
			page(w)
			return
		}
		if !isClosed(g.ready) {
			answer(w, r, http.StatusServiceUnavailable, map[string]any{
				"ok": false, "status": "starting", "version": s.Version, "uptimeMs": up,
				"pendingReason": "startup-sidecars",
			})
			return
		}
		answer(w, r, http.StatusOK, map[string]any{
			"ok": true, "status": "started", "version": s.Version,
			"uptimeMs": up,
		})
	default:
		if first, _, below := strings.Cut(r.URL.Path[1:], "/"); below && isProbe(first) && !s.release.pages {
			http.Error(w, "Not Found", http.StatusNotFound)
			return
		}
		page(w)
	}
}

func isProbe(name string) bool {
	switch name {
	case "healthz", "health", "readyz", "ready", "startupz", "startup":
		return true
	default:
		return false
	}
}

// failing is what /readyz names; "" when it is ready.
func (s *Server) failing(g *generation) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case isClosed(g.over), g.suspended != "":
		return "gateway-draining"
	case !isClosed(g.ready):
		return "startup-sidecars"
	default:
		return ""
	}
}

func answer(w http.ResponseWriter, r *http.Request, status int, body any) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusMethodNotAllowed)
		_, _ = io.WriteString(w, "Method Not Allowed")
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(body)
	}
}

func page(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html><html><head><title>OpenClaw Control</title></head><body></body></html>\n")
}

func (s *Server) upgrade(g *generation, w http.ResponseWriter, r *http.Request) {
	switch {
	case s.script.has("no-websocket"):
		page(w)
		return
	case isClosed(g.over) || s.script.has("draining"):
		http.Error(w, "Gateway websocket admission closed", http.StatusServiceUnavailable)
		return
	case r.Header.Get("X-Forwarded-For") != "":
		s.warn("gateway",
			"observed unattributable proxy-shaped traffic from 127.0.0.1; Gateway-authenticated routes reject it, while "+
				"plugin-authenticated routes ignore forwarded claims. Configure gateway.trustedProxies narrowly and make the "+
				"proxy overwrite or safely rebuild forwarded client headers.")
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"message":"proxy_attribution_required","type":"forbidden"}}`)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, ReadBufferSize: 32 << 10}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &conn{
		s: s, g: g, ws: ws, id: newID(), nonce: newID(), opened: time.Now(), done: make(chan struct{}),
		request: r, scopes: nil,
	}
	s.mu.Lock()
	s.accepted++
	if s.stopping || isClosed(g.over) {
		s.mu.Unlock()
		_ = ws.NetConn().Close()
		return
	}
	s.conns[c] = struct{}{}
	s.tasks.Add(1)
	s.mu.Unlock()
	s.logConnection()
	defer s.tasks.Done()
	c.serve()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

func (s *Server) logConnection() {
	if s.LogConnections {
		s.Log(Record{Subsystem: "", Text: "emulator: websocket accepted"})
	}
}
