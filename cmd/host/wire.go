package main

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host"
)

// wire binds the verbs to package host.
func (a *app) wire() {
	a.sockets = host.Sockets
	a.load = func(path string) (*settings, error) {
		cfg, err := host.LoadConfig(path)
		if cfg == nil {
			return nil, err
		}
		s := &settings{
			path: cfg.Path, level: cfg.Log.Level, json: cfg.Log.Format == "json", gateways: len(cfg.Gateways),
			plugins: len(cfg.Plugins), toml: cfg.TOML, tree: cfg.Tree, history: host.OpenHistory(cfg),
			missing: func(ctx context.Context) error { return host.Missing(ctx, cfg) },
			newHost: func(log hclog.Logger, dropped func() uint64) supervisor {
				h := host.New(cfg, log)
				h.CountDropped(dropped)
				return h
			},
		}
		for _, w := range cfg.Warnings() {
			s.warnings = append(s.warnings, w.String())
		}
		s.remarks = func() (out []string) {
			for _, r := range host.Remarks(cfg) {
				out = append(out, r.String())
			}
			return out
		}
		return s, err
	}
}

var (
	_ supervisor = (*host.Host)(nil)
	_ history    = (*host.History)(nil)
)
