//go:build unix

package manifest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/manifest"
)

const head = `# written by hand
manifest = 1   # the format
name = "x"
version = "0.1.0"
kinds = ["doctor"]
run = ["/usr/bin/python3", "./main.py"]
`

func hexOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestSealKeepsTheRestOfTheText: comments, order, spaces.
func TestSealKeepsTheRestOfTheText(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "main.py"), "main")
	put(t, filepath.Join(dir, "new.py"), "new")
	put(t, filepath.Join(dir, "lib/a.py"), "a")
	put(t, filepath.Join(dir, "lib/b c.py"), "b")
	text := head + "[files]  # sums\n# the entry\n'main.py'  =  \"old\"  # keep\ngone = \"\"\n\n[wants]\ngrants = []\n"
	put(t, filepath.Join(dir, "plugin.toml"), text)
	got, err := manifest.Seal(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	tree := "tree:" + hexOf(fmt.Sprintf("file %s a.py\nfile %s b c.py\n", hexOf("a"), hexOf("b")))
	want := head + "[files]  # sums\n# the entry\n'main.py'  =  \"" + hexOf("main") + "\"  # keep\n" +
		"\"lib\" = \"" + tree + "\"\n\"new.py\" = \"" + hexOf("new") + "\"\n\n[wants]\ngrants = []\n"
	after, err := os.ReadFile(filepath.Join(dir, "plugin.toml"))
	if err != nil || string(after) != want {
		t.Errorf("plugin.toml is\n%s\nwant\n%s", after, want)
	}
	if len(got.Entries) != 3 || len(got.Gone) != 1 || got.Gone[0] != "gone" || got.SHA256 != hexOf(want) ||
		got.Entries[1].Before != "old" {
		t.Errorf("sealed = %+v", got)
	}
	if err := open(t, dir); err != nil {
		t.Error(err)
	}
	again, err := manifest.Seal(t.Context(), dir)
	if err != nil || again.SHA256 != got.SHA256 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func TestSealAddsTheTableAndOnlyWhatAProgramIs(t *testing.T) {
	dir := t.TempDir()
	// without a newline at its end
	text := strings.Replace(head, `"/usr/bin/python3", "./main.py"`, `"./x"`, 1) + "[wants]"
	put(t, filepath.Join(dir, "plugin.toml"), text)
	put(t, filepath.Join(dir, "main.go"), "source")
	put(t, filepath.Join(dir, "x"), "program")
	if err := os.Chmod(filepath.Join(dir, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Seal(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	want := text + "\n\n[files]\n\"x\" = \"" + hexOf("program") + "\"\n"
	if after, err := os.ReadFile(filepath.Join(dir, "plugin.toml")); err != nil || string(after) != want {
		t.Errorf("plugin.toml is\n%s\nwant\n%s", after, want)
	}
}

func TestSealThatCannotBeIsToldAndWritesNothing(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"a faulty manifest", "manifest = 1\n", "name: is missing"},
		{
			"a missing program", strings.Replace(head, `"/usr/bin/python3", "./main.py"`, `"./x"`, 1),
			`files.x: there is no such file (build or write it first)`,
		},
		{"an inline table", head + `files = {"main.py" = "x"}`, "write [files] as a table of its own"},
		{"dotted keys", head + `files."main.py" = "x"`, "write [files] as a table of its own"},
		{"a sum of several lines", head + "[files]\n\"main.py\" = \"\"\"\nx\"\"\"\n", "plugin.toml"},
		{
			"an entry of several lines that is gone",
			head + "[files]\ngone = \"\"\"\n[wants]\ngrants = [] # \"\"\"\n",
			"write [files] as a table of its own, one file a line",
		},
		{"a name that leaves", head + "[files]\n\"../x\" = \"\"\n", "is not a name inside the plugin's directory"},
		{"files is none", "files = 3\n" + head, "files: expected a table"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "main.py"), "main")
			put(t, filepath.Join(dir, "plugin.toml"), row.text)
			_, err := manifest.Seal(t.Context(), dir)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error = %v, want %s", err, row.want)
			}
			if after, err := os.ReadFile(filepath.Join(dir, "plugin.toml")); err != nil || string(after) != row.text {
				t.Errorf("it has written\n%s", after)
			}
		})
	}
}

// TestADirectoryIsFoundByALink: what is in it is sealed and read below its own path, and where there is none the error
// says what failed.
func TestADirectoryIsFoundByALink(t *testing.T) {
	dir, link := project(t), filepath.Join(t.TempDir(), "link")
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "main.js"), "changed\n")
	if _, err := manifest.Seal(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	text, err := manifest.Load(link)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := text.Parse(); err != nil || m.Dir != real {
		t.Errorf("it is read as %+v, %v, want %s", m, err, real)
	}
	gone := filepath.Join(dir, "gone")
	_, loaded := manifest.Load(gone)
	_, sealed := manifest.Seal(t.Context(), gone)
	for want, err := range map[string]error{
		"cannot find the plugin's directory: lstat " + filepath.Join(real, "gone"): loaded,
		"cannot seal: lstat " + filepath.Join(real, "gone"):                        sealed,
	} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
}

func FuzzSeal(f *testing.F) {
	f.Add(head)
	f.Add(head + "[files]\n'main.py' = 'x'\n\"a\\u00e4\" = \"\"\"x\"\"\"\n")
	f.Add(head + "[[files]]\n[files.x]\n")
	f.Add(head + "[files] # x\n\"main.py\"=\"\" # [wants]\n[wants]\n")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "main.py"), "main")
		put(t, filepath.Join(dir, "plugin.toml"), text)
		if _, err := manifest.Seal(t.Context(), dir); err != nil {
			if after, readErr := os.ReadFile(filepath.Join(dir, "plugin.toml")); readErr != nil ||
				string(after) != text {
				t.Errorf("it has failed (%v) and written %q", err, after)
			}
			return
		}
		if _, err := manifest.Read(dir); err != nil {
			t.Errorf("what was sealed cannot be read: %v", err)
		}
	})
}
