package gatewaytest

import (
	"embed"
	"encoding/json"
	"os"
	"strings"
	"time"
)

// data are captured answers, long lists shortened: those of 2026.9.6, and of older releases with their version in the
// name.
//
//go:embed data/*.json
var data embed.FS

// document is a fresh copy of a captured answer.
func document(name string) map[string]any {
	raw, err := data.ReadFile("data/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

func asObject(v any) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		return map[string]any{}
	}
	return m
}

// fill puts this gateway's places and times into a captured answer.
func (s *Server) fill(m map[string]any) map[string]any {
	out, _ := s.fillValue(m).(map[string]any)
	return out
}

func (s *Server) fillValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if k == "ts" {
				v[k] = time.Now().UnixMilli()
				continue
			}
			v[k] = s.fillValue(x)
		}
		return v
	case []any:
		for i, x := range v {
			v[i] = s.fillValue(x)
		}
		return v
	case string:
		v = strings.ReplaceAll(v, "$HOME/.openclaw/openclaw.json", s.configPath())
		return strings.ReplaceAll(v, "$HOME/.openclaw", s.StateDir)
	default:
		return v
	}
}

func (s *Server) configPath() string {
	if s.ConfigPath != "" {
		return s.ConfigPath
	}
	return s.StateDir + "/openclaw.json"
}

func (s *Server) broadcastHealth() {
	event := s.fill(document("health-event.json"))
	s.Broadcast("health", event["payload"])
}

func pid() int { return os.Getpid() }
