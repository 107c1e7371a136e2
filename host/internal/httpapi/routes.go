package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// access says what a route may do.
type access int

const (
	reads  access = iota + 1
	writes        // changes something: logged with its peer
)

type route struct {
	method, path string
	access       access
	handle       func(w http.ResponseWriter, r *http.Request) error
}

// table is the whole API.
func (s *Server) table() []route {
	return []route{
		{http.MethodGet, "/healthz", reads, s.health},
		{http.MethodGet, "/metrics", reads, s.metrics},
		{http.MethodGet, "/v1/status", reads, s.status},
		{http.MethodGet, "/v1/gateways/{name}", reads, s.gateway},
		{http.MethodGet, "/v1/gateways/{name}/health", reads, s.gatewayHealth},
		{http.MethodPost, "/v1/gateways/{name}/start", writes, s.command(control.ActionStart)},
		{http.MethodPost, "/v1/gateways/{name}/stop", writes, s.command(control.ActionStop)},
		{http.MethodPost, "/v1/gateways/{name}/restart", writes, s.command(control.ActionRestart)},
		{http.MethodPost, "/v1/gateways/{name}/reload", writes, s.command(control.ActionReload)},
		{http.MethodPost, "/v1/gateways/{name}/rpc", writes, s.rpc},
		{http.MethodPost, "/v1/gateways/{name}/doctor", writes, s.doctor},
		{http.MethodGet, "/v1/gateways/{name}/config", reads, s.gatewayConfig},
		{http.MethodPost, "/v1/gateways/{name}/config", writes, s.editConfig},
		{http.MethodPost, "/v1/gateways/{name}/services/restore", writes, s.restoreServices},
		{http.MethodGet, "/v1/gateways/{name}/logs", reads, s.logs},
		{http.MethodGet, "/v1/events", reads, s.events},
		{http.MethodGet, "/v1/plugins", reads, s.plugins},
		{http.MethodGet, "/v1/plugins/{name}", reads, s.plugin},
		{http.MethodPost, "/v1/plugins/{name}/restart", writes, s.restartPlugin},
		{http.MethodPost, "/v1/config/reload", writes, s.reload},
	}
}

func (s *Server) routes() http.Handler {
	byPath := map[string]map[string]route{}
	for _, r := range s.table() {
		if byPath[r.path] == nil {
			byPath[r.path] = map[string]route{}
		}
		byPath[r.path][r.method] = r
	}
	mux := http.NewServeMux()
	for path, methods := range byPath {
		allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			rt, ok := methods[r.Method]
			if !ok {
				w.Header().Set("Allow", allowed)
				detail := r.Method + " is not allowed here, only " + allowed
				writeProblem(w, problem(http.StatusMethodNotAllowed, "method_not_allowed", detail))
				return
			}
			s.serve(rt, w, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		detail := fmt.Sprintf("no such path: %.200q", r.URL.Path)
		writeProblem(w, problem(http.StatusNotFound, control.CodeNotFound, detail))
	})
	return mux
}

func (s *Server) serve(rt route, w http.ResponseWriter, r *http.Request) {
	if rt.access == writes {
		who, _ := r.Context().Value(peerKey{}).(peer)
		s.o.Log.Debug("control request", "method", rt.method, "path", r.URL.Path, "pid", who.pid, "uid", who.uid)
	}
	if err := rt.handle(w, r); err != nil {
		writeProblem(w, problemOf(err))
	}
}

// maxBody bounds the body of a request, in bytes.
const maxBody = 1 << 20

// readBody reads one JSON object into v; an empty body leaves v as it is.
func readBody(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return problem(http.StatusRequestEntityTooLarge, "too_large", "the request is larger than 1 MiB")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem(http.StatusRequestTimeout, control.CodeBadRequest, "the body of the request did not come in time")
	}
	if err != nil {
		return problem(http.StatusBadRequest, control.CodeBadRequest, "the request broke off")
	}
	// the deadline was for the body: the answer may take longer
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		return problem(http.StatusInternalServerError, control.CodeInternal, "cannot remove the deadline: "+err.Error())
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err = dec.Decode(v)
	if err == nil && dec.More() {
		err = errors.New("more than one value")
	}
	if err != nil {
		return problem(http.StatusBadRequest, control.CodeBadRequest,
			"cannot understand the request: "+strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// known returns the name in the path, or the problem that there is no such gateway.
func (s *Server) known(r *http.Request) (string, error) {
	name := r.PathValue("name")
	if _, ok := s.o.Gateways.Gateway(name); ok {
		return name, nil
	}
	var names []string
	for _, g := range s.o.Gateways.Status().Gateways {
		names = append(names, g.Name)
	}
	p := problem(http.StatusNotFound, control.CodeNoSuchGateway, fmt.Sprintf("no gateway %.64q", name))
	p.Hint = "there is none"
	if len(names) > 0 {
		p.Hint = "there is " + strings.Join(names, ", ")
	}
	return "", p
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, control.Health{OK: true, Version: s.o.Version, PID: os.Getpid()})
	return nil
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, s.o.Gateways.Status())
	return nil
}

func (s *Server) gateway(w http.ResponseWriter, r *http.Request) error {
	name, err := s.known(r)
	if err != nil {
		return err
	}
	g, _ := s.o.Gateways.Gateway(name)
	writeJSON(w, http.StatusOK, g)
	return nil
}

// gatewayHealth asks the gateway; it may take some seconds.
func (s *Server) gatewayHealth(w http.ResponseWriter, r *http.Request) error {
	name, err := s.known(r)
	if err != nil {
		return err
	}
	probe := r.URL.Query().Get("probe")
	if probe != "" && probe != "0" && probe != "1" {
		return problem(http.StatusBadRequest, control.CodeBadRequest, "probe is not 0 or 1")
	}
	got, err := s.o.Health.Health(r.Context(), name, probe == "1")
	if err != nil {
		return ended(r, err)
	}
	writeJSON(w, http.StatusOK, got)
	return nil
}

// metrics serves the metrics in the text format of Prometheus.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	if s.o.Metrics == nil {
		p := problem(http.StatusNotFound, control.CodeNotFound, "metrics are switched off")
		p.Hint = "set enabled = true in [metrics] of config.toml, and restart the host"
		return p
	}
	s.o.Metrics.ServeHTTP(w, r)
	return nil
}

func (s *Server) plugins(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, control.Plugins{Plugins: append([]control.Plugin{}, s.o.Plugins.Plugins()...)})
	return nil
}

func (s *Server) plugin(w http.ResponseWriter, r *http.Request) error {
	p, err := s.knownPlugin(r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, p)
	return nil
}

func (s *Server) restartPlugin(w http.ResponseWriter, r *http.Request) error {
	p, err := s.knownPlugin(r.PathValue("name"))
	if err != nil {
		return err
	}
	if err := s.o.Plugins.Restart(r.Context(), p.Name); err != nil {
		return ended(r, err)
	}
	if p, err = s.knownPlugin(p.Name); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, p)
	return nil
}

func (s *Server) knownPlugin(name string) (control.Plugin, error) {
	var names []string
	for _, p := range s.o.Plugins.Plugins() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	p := problem(http.StatusNotFound, control.CodeNoSuchPlugin, fmt.Sprintf("no plugin %.64q", name))
	if len(names) > 0 {
		p.Hint = "there is " + strings.Join(names, ", ")
	}
	return control.Plugin{}, p
}
