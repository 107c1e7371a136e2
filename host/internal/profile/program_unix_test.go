//go:build unix

package profile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestProgramThatCannotBeLaunchedIsNamedBefore it is launched, and so is an interpreter that is missing.
func TestProgramThatCannotBeLaunchedIsNamedBefore(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ok": "#!/bin/sh\n", "bare": "binary", "lost": "#!/nonexistent/node\n", "node": "#!/usr/bin/env node-of-nowhere\n",
		"flags": "#!/usr/bin/env -S A=b sh -e\n", "own": "#!/usr/bin/env helper\n", "helper": "#!/bin/sh\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		command, cwd string
		want         error
		says         string
	}{
		"on PATH":                {command: "ok"},
		"by its path":            {command: filepath.Join(dir, "bare")},
		"below its directory":    {command: "./ok", cwd: dir},
		"env with flags":         {command: "flags"},
		"an interpreter on PATH": {command: "own"},
		"not on PATH":            {command: "absent", want: fault.ErrNotFound, says: `"absent": not found`},
		"not at its path": {
			command: "/nonexistent/openclaw", want: fault.ErrNotFound, says: "/nonexistent/openclaw",
		},
		"no program": {command: "plain", want: fault.ErrPermissionDenied, says: "permission denied"},
		"interpreter is missing": {
			command: "lost", want: fault.ErrNotFound, says: "the interpreter of " + dir + "/lost",
		},
		"interpreter is not on PATH": {command: "node", want: fault.ErrNotFound, says: "node-of-nowhere"},
		"working directory is missing": {
			command: "ok", cwd: dir + "/gone", want: fault.ErrInvalidArgument, says: "not a directory",
		},
	} {
		err := profile.Program(plugin.ProcessSpec{
			Argv: []string{row.command}, Cwd: row.cwd, Env: []plugin.EnvVar{{Name: "PATH", Value: dir + ":/bin:/usr/bin"}},
		})
		if !errors.Is(err, row.want) || err != nil && (!strings.Contains(err.Error(), row.says) || row.want == nil) {
			t.Errorf("%s: %v, want %v that says %q", name, err, row.want, row.says)
		}
	}
}
