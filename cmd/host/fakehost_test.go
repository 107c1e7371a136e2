package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// fakeHost answers as a host would. Gateways behave as they are called: main works, broken fails, slow never ends in
// time, overtaken is superseded.
type fakeHost struct {
	Live  []control.Event // sent to clients that follow
	Block chan struct{}   // commands wait for it to be closed; nil: they do not

	mu       sync.Mutex // guards commands
	commands []string
}

func (f *fakeHost) serve(t *testing.T) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // short: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: f.handler(), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return socket
}

func (f *fakeHost) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, fakeStatus()) })
	mux.HandleFunc("GET /v1/gateways/{name}", known(func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, fakeGateway(r.PathValue("name")))
	}))
	mux.HandleFunc("GET /v1/gateways/{name}/health", known(func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, fakeHealth(r.PathValue("name"), r.URL.Query().Get("probe")))
	}))
	mux.HandleFunc("POST /v1/gateways/{name}/{action}", known(f.command))
	mux.HandleFunc("POST /v1/gateways/{name}/rpc", known(rpc))
	mux.HandleFunc("POST /v1/gateways/{name}/doctor", known(doctor))
	mux.HandleFunc("GET /v1/gateways/{name}/logs", known(logs))
	mux.HandleFunc("GET /v1/gateways/{name}/config", known(config))
	mux.HandleFunc("POST /v1/gateways/{name}/config", known(editConfig))
	mux.HandleFunc("POST /v1/config/reload", reloadConfig)
	mux.HandleFunc("GET /v1/events", f.sse)
	mux.HandleFunc("GET /v1/plugins", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, control.Plugins{Plugins: fakeStatus().Plugins})
	})
	mux.HandleFunc("GET /v1/plugins/{name}", func(w http.ResponseWriter, r *http.Request) {
		for _, p := range fakeStatus().Plugins {
			if p.Name == r.PathValue("name") {
				answer(w, 200, p)
				return
			}
		}
		refuse(w, 404, control.CodeNoSuchPlugin, "no plugin", "")
	})
	return mux
}

func fakeGateway(name string) control.Gateway {
	g := control.Gateway{
		Name: name, State: control.StateRunning, Phase: "running", Owner: "owned", PID: 4242, Port: 18789,
		Version:  "2026.9.6",
		UptimeMs: control.Ms(192 * time.Second), Launcher: "utility", Doctors: []string{"doctor"},
	}
	g.Health = fakeHealth(name, "").Health
	if name == "broken" {
		code := 78
		rate := 0.5
		g.Reconnect = &control.Reconnect{
			Attempts: 2, Successes: 1, Failures: 1, SuccessRate: &rate,
			LastCause: "exited",
		}
		g.State, g.PID, g.UptimeMs, g.Version = control.StateError, 0, nil, ""
		g.Error = &control.Failure{
			Code: "config_invalid", Message: "the configuration is invalid\x1b[31m",
			Hint: "run the doctor",
		}
		g.LastExit = &control.Exit{Code: &code, Tail: []string{"Invalid config"}}
		g.LastStart = &control.Start{
			Outcome: "error", TotalMs: control.Ms(2 * time.Second),
			Stages: []control.Stage{{Name: "launching", Ms: control.Ms(time.Second)}},
		}
		g.LastStart.Trace = &control.Trace{
			Count: 70, TotalMs: 6558.5,
			Slowest: []control.TraceStage{{Name: "cli.config", Ms: 367.4}},
		}
	}
	return g
}

// fakeHealth is well for main; with a probe the memory answers late.
func fakeHealth(name, probe string) control.HealthCheck {
	h := &control.GatewayHealth{
		State: control.HealthHealthy, Core: control.Core{Process: "running", Transport: "connected", Router: "ready"},
		Capabilities: map[string]control.Capability{"health": {
			State: control.HealthHealthy,
			Ms:    control.Ms(1500 * time.Millisecond),
		}},
	}
	if probe == "1" {
		h.State, h.Reasons = control.HealthDegraded, []string{"memory"}
		h.Capabilities["memory"] = control.Capability{State: control.HealthDegraded, Error: "timeout"}
	}
	if name != "main" {
		h.State, h.Reasons, h.Core.Transport = control.HealthUnresponsive, []string{"disconnected"}, "disconnected"
	}
	return control.HealthCheck{OK: name == "main", Ready: name == "main", Health: h}
}

func fakeStatus() control.Status {
	return control.Status{
		Host: control.HostStatus{
			Version: "1.2.3", PID: 42, StartedAt: control.At(time.Unix(1e9, 0)),
			StateDir: "/state",
		},
		Gateways: []control.Gateway{fakeGateway("main"), fakeGateway("broken")},
		Plugins: []control.Plugin{
			{
				Name: "doctor", State: "running", PID: 7, Version: "1.0.0",
				Services: []string{"doctor", "classifier"}, RSSBytes: 12 << 20, Path: "/p/doctor",
				Manifest: &control.PluginManifest{
					Name: "doc", Version: "1.0.0", Kinds: []string{"doctor"},
					Run: []string{"/usr/bin/node", "./main.js"}, SHA256: "aa", Files: 3,
				},
				Pin: &control.PluginPin{State: control.PinMismatch, SHA256: "bb", Found: "aa"},
				Asks: []control.PluginAsk{
					{What: control.AskGrant, Value: "gateway-config", Asked: true, Key: "plugins.doctor.grant"},
					{
						What: control.AskRead, Value: "/opt/x", Asked: true, Given: true,
						Key: "plugins.doctor.sandbox.read",
					},
					{What: control.AskNetwork, Given: true, Key: "plugins.doctor.sandbox.network"},
				},
				Refused: []control.PluginRefusal{{
					What: "/home/me/.ssh", Key: "plugins.doctor.sandbox.read", Times: 2,
					Last: control.At(time.Unix(1e9, 0)),
				}},
				Sandbox: &control.Sandbox{
					State: control.SandboxNone, Level: "none on this platform",
					Why: "this platform has no landlock", Gaps: []string{"nothing is stopped"},
				},
			},
			{
				Name: "newer", State: "running", PID: 8, Version: "9.0.0", Services: []string{"doctor"},
				UnknownKinds: []int32{9}, Negotiated: []control.Negotiated{
					{
						Service: "doctor", Version: 2, Plugin: []control.Versions{{Min: 1, Max: 3}},
						Host: control.Versions{Min: 1, Max: 2},
					},
					{
						Service: "classifier", Plugin: []control.Versions{{Min: 2, Max: 3}},
						Host: control.Versions{Min: 1, Max: 1},
						Error: &control.Failure{
							Code:    "unsupported",
							Message: "newer 9.0.0 speaks the classifier service in versions 2 to 3\x1b[2J",
							Hint:    "upgrade gatehost",
						},
					},
				},
			},
			{
				Name: "utility", State: "failed",
				Error: &control.Failure{Code: "not_found", Message: "no such file", Hint: "build it"},
			},
		},
	}
}

func (f *fakeHost) command(w http.ResponseWriter, r *http.Request) {
	var cmd control.Command
	if err := json.NewDecoder(r.Body).Decode(&cmd); err != nil {
		refuse(w, 400, control.CodeBadRequest, err.Error(), "")
		return
	}
	name := r.PathValue("name")
	f.mu.Lock()
	f.commands = append(f.commands, r.PathValue("action")+" "+name+" "+cmd.Reason)
	f.mu.Unlock()
	if f.Block != nil {
		<-f.Block
	}
	out := control.Outcome{Outcome: control.OutcomeApplied, TookMs: 7100}
	switch {
	case r.PathValue("action") == "reload":
		refuse(w, 501, control.CodeNotImplemented, "reload is not implemented yet", "restart it")
		return
	case cmd.WaitMs != nil && *cmd.WaitMs == 0:
		answer(w, 202, control.Outcome{Outcome: control.OutcomeAccepted})
		return
	case name == "broken":
		out = control.Outcome{
			Outcome: control.OutcomeFailed,
			Error:   &control.Failure{Code: "x", Message: "it broke", Hint: "repair it"},
		}
	case name == "slow":
		refuse(w, 504, control.CodeTimedOut, "start of gateway slow has not ended", "look again")
		return
	case name == "overtaken":
		out = control.Outcome{Outcome: control.OutcomeSuperseded}
	}
	g := fakeGateway(name)
	if r.PathValue("action") == "stop" {
		g.State, g.PID = control.StateStopped, 0
	}
	out.Gateway = &g
	answer(w, 200, out)
}

// reloadConfig changes nothing in a dry run, a part with remove, and refuses the file with both.
func reloadConfig(w http.ResponseWriter, r *http.Request) {
	var req control.ReloadRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, 400, control.CodeBadRequest, err.Error(), "")
		return
	}
	out := control.Reload{Outcome: control.ReloadApplied, Config: "/etc/config.toml"}
	plugin := control.ReloadChange{
		Scope: control.ScopePlugin, Name: "doctor", Action: control.ChangeConfigured,
		Keys: []string{"plugins.doctor.config"}, Result: control.ReloadNow,
	}
	switch {
	case req.DryRun && req.Remove:
		w.Header().Set("Content-Type", "application/problem+json")
		answer(w, 422, control.Problem{
			Status: 422, Code: control.CodeBadConfig, Detail: "config.toml:1: a\nconfig.toml:2: b",
			Hint:   "correct the file",
			Faults: []string{"config.toml:1: a", "config.toml:2: b"},
		})
		return
	case req.DryRun:
		out = control.Reload{Outcome: control.ReloadUnchanged, Config: "/etc/config.toml"}
	case req.Remove:
		plugin.Keys, plugin.Result, plugin.Detail = nil, control.ReloadFailed, "its former table stays in force"
		plugin.Error = &control.Failure{Code: "failed_precondition", Message: "it refuses \x1bit", Hint: "correct it"}
		out.Outcome, out.Changes = control.ReloadPartly, []control.ReloadChange{plugin}
	default:
		out.Changes = []control.ReloadChange{
			plugin,
			{
				Scope: control.ScopeGateway, Name: "main", Action: control.ChangeChanged,
				Keys: []string{"gateways.main.port"}, Result: control.ReloadNextRestart,
				Detail: "what runs goes on",
			},
			{
				Scope: control.ScopeHost, Action: control.ChangeChanged, Keys: []string{"journal.max_files"},
				Result: control.ReloadHostRestart,
			},
		}
	}
	answer(w, 200, out)
}

func rpc(w http.ResponseWriter, r *http.Request) {
	var req control.RPCRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, 400, control.CodeBadRequest, err.Error(), "")
		return
	}
	if req.Method == "echo" {
		answer(w, 200, control.RPCResponse{Payload: req.Params})
		return
	}
	answer(w, 200,
		control.RPCResponse{Error: &control.RPCError{
			Code: "INVALID_REQUEST", Message: "unknown method",
			Retryable: true,
		}})
}

func doctor(w http.ResponseWriter, r *http.Request) {
	var req control.DoctorRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, 400, control.CodeBadRequest, err.Error(), "")
		return
	}
	enc := json.NewEncoder(w)
	_ = enc.Encode(control.DoctorMessage{Type: "finding", Finding: &control.DoctorFinding{
		Plugin: "doctor", Code: "config-invalid", Severity: "error", Text: "unknown key", Hint: "remove it",
		ConfigPath: "gateway.bind",
	}})
	_ = enc.Encode(control.DoctorMessage{Type: "skipped", Skipped: &control.DoctorSkipped{
		Plugin: "newer", Error: &control.Failure{Message: "it speaks another version", Hint: "upgrade gatehost"},
	}})
	result := &control.DoctorResult{Outcome: "findings"}
	switch req.Action {
	case control.DoctorRepair:
		_ = enc.Encode(control.DoctorMessage{
			Type: "plan",
			Plan: &control.DoctorPlan{Title: "remove the key", Steps: []string{"openclaw doctor"}, Diff: "-x\n+y"},
		})
		result.Outcome = "repaired"
		if req.Restore != "" {
			result = &control.DoctorResult{
				Outcome: "offered", Aside: []string{"/s/openclaw.json.broken-1"},
				Error: &control.Failure{Message: "not by itself", Hint: "name it"},
			}
		}
	case control.DoctorUndo:
		result = &control.DoctorResult{
			Outcome: "failed",
			Error:   &control.Failure{Message: "nothing to undo", Hint: "name it"},
		}
		if req.ID != "" && req.DryRun {
			result = &control.DoctorResult{Outcome: "undone", Backup: req.ID}
		}
	case control.DoctorHistory:
		_ = enc.Encode(control.DoctorMessage{Type: "record", Record: &control.DoctorRecord{
			ID: "r1", Doctor: "doctor", Title: "remove the key", Finding: "config-invalid", Outcome: "done",
			UndoneBy: "r2",
		}})
		_ = enc.Encode(control.DoctorMessage{
			Type: "kept",
			Kept: &control.DoctorKept{ID: "k1", Path: "/s/openclaw.json", Bytes: 42, Present: true},
		})
		result.Outcome = "listed"
	}
	_ = enc.Encode(control.DoctorMessage{Type: "result", Result: result})
}

func config(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Query().Get("path")
	if path == "nothing" {
		refuse(w, 404, control.CodeNotFound, "there is nothing at nothing", "")
		return
	}
	answer(w, 200, control.GatewayConfig{
		Source: control.SourceFile, File: "/oc/openclaw.json", Exists: true, Path: path,
		Value: json.RawMessage(`{"logging":{"level":"info"}}`),
	})
}

func editConfig(w http.ResponseWriter, r *http.Request) {
	var edit control.ConfigEdit
	if err := json.NewDecoder(r.Body).Decode(&edit); err != nil {
		refuse(w, 400, control.CodeBadRequest, err.Error(), "")
		return
	}
	if edit.Reason == "refuse" {
		refuse(w, 409, "failed_precondition", "a running gateway writes its file without its 2 comments",
			"add --drop-comments")
		return
	}
	restarts := true
	out := control.ConfigEdited{
		Outcome: control.ConfigChanged, Source: control.SourceGateway, RequiresRestart: &restarts,
		Changes: []control.ConfigChange{{Path: edit.Path}},
	}
	if edit.Text != nil {
		out.Changes[0].After, _ = json.Marshal(*edit.Text)
	}
	if edit.Action == control.ConfigUndo && edit.Force {
		out.Outcome = control.ConfigUndone
	}
	answer(w, 200, out)
}

func logs(w http.ResponseWriter, r *http.Request) {
	enc := json.NewEncoder(w)
	if r.PathValue("name") == "stamped" {
		_ = enc.Encode(control.LogLine{
			Time: control.At(time.Unix(0, 0)), Level: "info", Text: "2026-12-01T04:42:18.479Z [gateway] ready",
		})
		return
	}
	_ = enc.Encode(control.LogLine{
		Time: control.At(time.Unix(0, 0)), Level: "warn", Text: "careful \x1b[2J",
		Stream: "stderr",
	})
	_ = enc.Encode(control.LogLine{LostBytes: 12})
	_ = enc.Encode(control.LogLine{Text: "n=" + r.URL.Query().Get("n") + " level=" + r.URL.Query().Get("level")})
}

func (f *fakeHost) sse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	since := r.URL.Query().Get("since")
	if r.URL.Query().Get("follow") != "0" && since == "" { // only what is to come
		w.WriteHeader(200)
		for i, e := range f.Live {
			e.Cursor = uint64(i + 1)
			data, _ := json.Marshal(e)
			_, _ = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Cursor, e.Type, data)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	for i, e := range []control.Event{
		{Type: control.EventHostStarted, Time: control.At(time.Unix(0, 0))},
		{
			Type: control.EventGatewayState, Gateway: "main", Time: control.At(time.Now()),
			Data: json.RawMessage(`{"state":"starting","phase":"launching","elapsedMs":200}`),
		},
	} {
		e.Cursor = uint64(100 + i)
		data, _ := json.Marshal(e)
		_, _ = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Cursor, e.Type, data)
	}
	_, _ = fmt.Fprint(w, "event: dropped\ndata: {\"dropped\":3}\n\n")
}

func known(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("name") {
		case "main", "broken", "slow", "overtaken", "stamped":
			h(w, r)
		default:
			refuse(w, 404, control.CodeNoSuchGateway, "no gateway "+r.PathValue("name"), "there is main, broken")
		}
	}
}

func refuse(w http.ResponseWriter, status int, code, detail, hint string) {
	w.Header().Set("Content-Type", "application/problem+json")
	answer(w, status,
		control.Problem{Status: status, Code: code, Title: http.StatusText(status), Detail: detail, Hint: hint})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
