//go:build unix

package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/host/internal/manifest"
)

// project is a sealed directory of a Node plugin.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"plugin.toml": "# mine\nmanifest = 1\nname = \"x\"\nversion = \"0.1.0\"\n" +
			"kinds = [\"doctor\"]\nrun = [\"/usr/bin/node\", \"./main.js\"]\n",
		"main.js":                         "require('dep')\n",
		"package.json":                    "{}\n",
		"node_modules/dep/index.js":       "1\n",
		"node_modules/dep/cli.js":         "2\n",
		".git/HEAD":                       "ref\n",
		"__pycache__/main.pyc":            "x\n",
		"node_modules/.package-lock.json": "{}\n",
	} {
		put(t, filepath.Join(dir, name), text)
	}
	if err := os.MkdirAll(filepath.Join(dir, "node_modules", ".bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../dep/cli.js", filepath.Join(dir, "node_modules", ".bin", "dep")); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Seal(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) error {
	t.Helper()
	m, err := manifest.Read(dir)
	if err != nil {
		return err
	}
	f, err := m.Open(t.Context())
	if f != nil {
		_ = f.Close()
	}
	return err
}

func TestSealedDirectoryIsTakenAsItIs(t *testing.T) {
	dir := project(t)
	if err := open(t, dir); err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range m.Files {
		names = append(names, name)
	}
	if len(names) != 3 || m.Files["main.js"] == "" || m.Files["package.json"] == "" ||
		!strings.HasPrefix(m.Files["node_modules"], "tree:") {
		t.Errorf("files = %v, want main.js, package.json and the tree node_modules", m.Files)
	}
	// What does not count: times, harmless modes, empty directories, what is not listed.
	put(t, filepath.Join(dir, ".git", "HEAD"), "other")
	if err := os.Mkdir(filepath.Join(dir, "node_modules", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "main.js"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir); err != nil {
		t.Error(err)
	}
}

// TestWhatIsNotWhatWasSealedIsRefused: each change of a file, of a tree and of a link in it.
func TestWhatIsNotWhatWasSealedIsRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(dir string) error
		want   string
	}{
		{
			"another file",
			func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "main.js"), []byte("evil"),
					0o644)
			}, `files."main.js": has another sum`,
		},
		{
			"no file", func(dir string) error { return os.Remove(filepath.Join(dir, "main.js")) },
			`files."main.js": there is no such file`,
		},
		{"a link in its place", func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "main.js"), filepath.Join(dir, "x")),
				os.Symlink("x", filepath.Join(dir, "main.js")))
		}, `files."main.js": is a symbolic link`},
		{"a directory in its place", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "main.js")), os.Mkdir(filepath.Join(dir, "main.js"), 0o755))
		}, `files."main.js": has another sum: tree:`},
		{
			"a named pipe in its place", func(dir string) error {
				return replaced(dir, func(path string) error { return syscall.Mkfifo(path, 0o600) })
			}, `files."main.js": is a named pipe (list the file itself)`,
		},
		{
			"a socket in its place", func(dir string) error {
				return replaced(dir, func(path string) error {
					fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
					if err != nil {
						return err
					}
					defer func() { _ = syscall.Close(fd) }()
					return syscall.Bind(fd, &syscall.SockaddrUnix{Name: path})
				})
			}, `files."main.js": is a socket (list the file itself)`,
		},
		{"a file more in a tree", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "node_modules/dep/new.js"), nil, 0o644)
		}, `files.node_modules: has another sum`},
		{
			"a file less in a tree",
			func(dir string) error {
				return os.Remove(filepath.Join(dir, "node_modules/dep/index.js"))
			}, `has another sum`,
		},
		{"a file by another name in a tree", func(dir string) error {
			return os.Rename(filepath.Join(dir, "node_modules/dep/index.js"),
				filepath.Join(dir, "node_modules/dep/main.js"))
		}, `has another sum`},
		{
			"a link that leads elsewhere", func(dir string) error { return relink(dir, "../dep/index.js") },
			`has another sum`,
		},
		{
			"a link out of the directory", func(dir string) error { return relink(dir, "../../../x") },
			`leaves the plugin's directory`,
		},
		{
			"an absolute link", func(dir string) error { return relink(dir, "/etc/passwd") },
			`leaves the plugin's directory`,
		},
		{
			"a link to what is not listed", func(dir string) error { return relink(dir, "../../.git/HEAD") },
			`leads to .git/HEAD, which is not in [files]`,
		},
		{"a link to nothing", func(dir string) error { return relink(dir, "../gone") }, `leads nowhere`},
		{"a link to itself", func(dir string) error { return relink(dir, "dep") }, `leads nowhere`},
		{
			"a file that everybody may change",
			func(dir string) error {
				return os.Chmod(filepath.Join(dir, "main.js"),
					0o666)
			}, `files."main.js": every user may write to it (mode 0666) (run: chmod go-w`,
		},
		{
			"one in a tree", func(dir string) error { return os.Chmod(filepath.Join(dir, "node_modules/dep"), 0o777) },
			`node_modules/dep in it: every user may write to it`,
		},
		{
			"the manifest", func(dir string) error { return os.Chmod(filepath.Join(dir, "plugin.toml"), 0o666) },
			`plugin.toml: every user may write to it`,
		},
		{
			"the directory", func(dir string) error { return os.Chmod(dir, 0o777) },
			`its directory: every user may write to it`,
		},
		{
			"a directory without a manifest",
			func(dir string) error { return os.Remove(filepath.Join(dir, "plugin.toml")) }, `no such file`,
		},
		{"a link for a manifest", func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "plugin.toml"), filepath.Join(dir, "p")),
				os.Symlink("p", filepath.Join(dir, "plugin.toml")))
		}, `plugin.toml is a symbolic link`},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := project(t)
			if err := row.change(dir); err != nil {
				t.Fatal(err)
			}
			if err := open(t, dir); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error = %v\nwant %s", err, row.want)
			} else if strings.Contains(err.Error(), os.ErrInvalid.Error()) {
				t.Errorf("a file that was never open is closed: %v", err)
			}
		})
	}
}

// replaced puts something else in the place of main.js.
func replaced(dir string, by func(path string) error) error {
	path := filepath.Join(dir, "main.js")
	return errors.Join(os.Remove(path), by(path), os.Chmod(path, 0o600))
}

func relink(dir, target string) error {
	link := filepath.Join(dir, "node_modules", ".bin", "dep")
	return errors.Join(os.Remove(link), os.Symlink(target, link))
}

// TestDirectoriesAroundAListedFileCountToo: who may write to one of them may exchange the file after it was checked.
func TestDirectoriesAroundAListedFileCountToo(t *testing.T) {
	for want, change := range map[string]func(dir string) error{
		"the directory lib: every user may write to it": func(dir string) error {
			return os.Chmod(filepath.Join(dir, "lib"), 0o777)
		},
		"lib is a symbolic link, not a directory": func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "lib"), filepath.Join(dir, "real")),
				os.Symlink("real", filepath.Join(dir, "lib")))
		},
		"lib/bin is a file, not a directory": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "lib", "bin")),
				os.WriteFile(filepath.Join(dir, "lib", "bin"), nil, 0o600))
		},
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "plugin.toml"),
			"manifest = 1\nname = \"x\"\nversion = \"0.1.0\"\nkinds = [\"doctor\"]\nrun = [\"./lib/bin/x\"]\n")
		put(t, filepath.Join(dir, "lib", "bin", "x"), "program")
		if err := os.Chmod(filepath.Join(dir, "lib", "bin", "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := manifest.Seal(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if err := open(t, dir); err != nil {
			t.Fatal(err)
		}
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if err := open(t, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
}

func TestUnsealedManifestIsNotRun(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "plugin.toml"),
		"manifest = 1\nname = \"x\"\nversion = \"0.1.0\"\nkinds = [\"doctor\"]\nrun = [\"./x\"]\n")
	if err := open(t, dir); !errors.Is(err, manifest.ErrUnsealed) {
		t.Errorf("error = %v", err)
	}
}

func TestProgramOfADirectoryIsOpenedAndExecutable(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "plugin.toml"),
		"manifest = 1\nname = \"x\"\nversion = \"0.1.0\"\nkinds = [\"doctor\"]\nrun = [\"./bin/x\"]\n[files]\n"+
			"bin = \"\"\n")
	put(t, filepath.Join(dir, "bin", "x"), "program")
	if _, err := manifest.Seal(t.Context(), dir); err == nil ||
		!strings.Contains(err.Error(), "is run and is not executable") {
		t.Errorf("error = %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "bin", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Seal(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Open(t.Context())
	if err != nil || f == nil {
		t.Fatalf("%v, %v", f, err)
	}
	defer func() { _ = f.Close() }()
	text := make([]byte, 20)
	if n, _ := f.Read(text); string(text[:n]) != "program" {
		t.Errorf("it reads %q: not from the beginning, or another file", text[:n])
	}
}
