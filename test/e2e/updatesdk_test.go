package e2e_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// contentsOf is each file below a directory with its text.
func contentsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		out[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestUpdateOfTheSDKReplacesItAndNothingElse: in a project that an older gatehost made, with an author's own files.
func TestUpdateOfTheSDKReplacesItAndNothingElse(t *testing.T) {
	s := newSite(t, emulator(""))
	for _, row := range []struct{ kind, lang, changed, left string }{
		{"doctor", "go", "sdk/shared/pluginkit/kit.go", "sdk/shared/left.go"},
		{"launcher", "go", "sdk/go.mod", "sdk/left.txt"},
		{"doctor", "python", "gatehost.py", "proto/left.proto"},
		{"doctor", "node", "gatehost.js", "proto/left.proto"},
	} {
		t.Run(row.kind+" in "+row.lang, func(t *testing.T) {
			dir := filepath.Join(s.dir, "my-"+row.kind+"-"+row.lang)
			s.must("plugin", "new", row.kind, dir, "--lang", row.lang)
			fresh := contentsOf(t, dir)
			if fresh[row.changed] == "" {
				t.Fatalf("the project has no %s", row.changed)
			}
			for name, text := range map[string]string{row.changed: "older", row.left: "older", "own.txt": "mine"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			updateSDK(t, dir, row.lang)
			got := contentsOf(t, dir)
			if got["own.txt"] != "mine" {
				t.Error("the author's own file is gone")
			}
			delete(got, "own.txt")
			for name := range got {
				if _, known := fresh[name]; !known {
					t.Errorf("%s is left", name)
				}
			}
			for name, text := range fresh {
				if got[name] != text {
					t.Errorf("%s is not that of a new project", name)
				}
			}
		})
	}
}

// updateSDK runs the project's own command.
func updateSDK(t *testing.T, dir, lang string) {
	t.Helper()
	cmd := exec.Command("make", "update-sdk", "GATEHOST="+filepath.Join(bin, "gatehost"))
	if lang == "node" { // as npm does, which need not be here
		var project struct {
			Scripts map[string]string `json:"scripts"`
		}
		data, err := os.ReadFile(filepath.Join(dir, "package.json"))
		if err == nil {
			err = json.Unmarshal(data, &project)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command("sh", "-c", project.Scripts["update-sdk"])
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "MAKEFLAGS=", "MAKELEVEL=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
}
