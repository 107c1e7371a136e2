package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/tomltext"
	"github.com/gatehost/gatehost/host/internal/trustfile"
)

const treePrefix = "tree:"

func isTree(sum string) bool { return strings.HasPrefix(sum, treePrefix) }

// Bounds of what is read at each start of a plugin.
const (
	maxFiles = 100_000
	maxBytes = 4 << 30
)

// Open checks the directory and every file that the manifest lists: that no other user may write to them, that they
// exist, and that they are what was sealed. It returns the opened program, nil when an interpreter runs the plugin:
// what was checked is what can be run. The error is ErrUnsealed, the cause of ctx, or a tomltext.Faults with
// everything that is wrong.
func (m *Manifest) Open(ctx context.Context) (*os.File, error) {
	if len(m.Files) == 0 {
		return nil, ErrUnsealed
	}
	root, err := os.OpenRoot(m.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the plugin's directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	s := &summer{ctx: ctx, m: m, root: root, program: m.Program()}
	r := &reader{m: m}
	for _, at := range []struct{ name, what string }{{".", "its directory: "}, {Name, ""}} {
		if info, err := root.Lstat(at.name); err != nil {
			r.fault(nil, "", "%v", err)
		} else if why, hint := trustfile.Changeable(s.path(at.name), info); why != "" {
			r.fault(nil, hint, "%s", at.what+why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		got, err := s.sum(name)
		var p *problem
		switch want := m.Files[name]; {
		case ctx.Err() != nil:
			return nil, errors.Join(context.Cause(ctx), s.close())
		case errors.As(err, &p):
			r.fault([]string{"files", name}, p.hint, "%s", p.why)
		case errors.Is(err, fs.ErrNotExist):
			r.fault([]string{"files", name}, "install the plugin again", "there is no such file")
		case err != nil:
			r.fault([]string{"files", name}, "", "%v", err)
		case got != want:
			r.fault([]string{"files", name}, "install the plugin again, or check what has changed and seal it again",
				"has another sum: %s, and the manifest says %s", got, want)
		}
	}
	r.faults.Sort()
	if err := r.faults.Err(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.program != "" && s.opened == nil { // run is checked against [files]: only a tree can have lost it
		return nil, tomltext.Faults{{File: m.file, Key: "run", Message: fmt.Sprintf("there is no file %q", s.program)}}
	}
	return s.opened, nil
}

// problem says why a file cannot be used, with advice.
type problem struct{ why, hint string }

func (p *problem) Error() string { return p.why }

// summer computes sums of what is in a directory, and never leaves it.
type summer struct {
	ctx     context.Context //nolint:containedctx // of the one call that it is made for
	m       *Manifest
	root    *os.Root
	program string   // keep this file open
	opened  *os.File // that one, at its beginning
	files   int
	bytes   int64
}

// sum returns the sum of a file or of a directory, in the form of [files].
func (s *summer) sum(name string) (string, error) {
	if err := s.above(name); err != nil {
		return "", err
	}
	info, err := s.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return "", err
	}
	if why, hint := trustfile.Changeable(s.path(name), info); why != "" {
		return "", &problem{why, hint}
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return s.file(name)
	case mode.IsDir():
		return s.tree(name)
	default:
		return "", &problem{"is " + kindOf(info), "list the file itself"}
	}
}

// above checks the directories that contain a name: a user who may write to one of them can replace the file.
func (s *summer) above(name string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		info, err := s.root.Lstat(filepath.FromSlash(dir))
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return &problem{fmt.Sprintf("%s is %s, not a directory", dir, kindOf(info)), "list files by their own path"}
		}
		if why, hint := trustfile.Changeable(s.path(dir), info); why != "" {
			return &problem{fmt.Sprintf("the directory %s: %s", dir, why), hint}
		}
	}
	return nil
}

func (s *summer) close() error {
	if s.opened == nil {
		return nil
	}
	return s.opened.Close()
}

func (s *summer) path(name string) string { return filepath.Join(s.m.Dir, filepath.FromSlash(name)) }

func (s *summer) file(name string) (string, error) {
	if err := s.ctx.Err(); err != nil {
		return "", err
	}
	f, err := s.root.Open(filepath.FromSlash(name))
	if err != nil {
		return "", err
	}
	keep := false
	defer func() {
		if !keep {
			_ = f.Close()
		}
	}()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, maxBytes-s.bytes+1))
	if err != nil {
		return "", err
	}
	if s.files, s.bytes = s.files+1, s.bytes+n; s.files > maxFiles || s.bytes > maxBytes {
		return "", &problem{fmt.Sprintf("there are more than %d files or %d GiB to check at each start", maxFiles,
			maxBytes>>30), "list only what the plugin runs from"}
	}
	if name == s.program {
		info, err := f.Stat()
		if err != nil {
			return "", err
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o111 == 0 {
			return "", &problem{"is run and is not executable", "run: chmod +x " + s.path(name)}
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		s.opened, keep = f, true
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// tree returns the sum of a directory: the SHA-256 of one line for each file and each symbolic link below it, in
// the order of their bytes, "file SHA256 NAME\n" and "link SHA256-OF-ITS-TARGET NAME\n", NAME relative to the
// directory, with /. Empty directories, owners, times and modes do not count.
func (s *summer) tree(dir string) (string, error) {
	var names []string
	kinds := map[string]fs.FileMode{}
	err := fs.WalkDir(s.root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.ContainsAny(name, "\n\\") {
			return &problem{fmt.Sprintf("%q in it has a name that cannot be listed", name), "rename it"}
		}
		if why, hint := trustfile.Changeable(s.path(name), info); why != "" {
			return &problem{fmt.Sprintf("%s in it: %s", name, why), hint}
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			return nil
		case mode.IsRegular(), mode&fs.ModeSymlink != 0:
			names = append(names, name)
			kinds[name] = mode.Type()
		default:
			return &problem{fmt.Sprintf("%s in it is %s", name, kindOf(info)), "take it out"}
		}
		if len(names) > maxFiles {
			return &problem{
				fmt.Sprintf("there are more than %d files to check at each start", maxFiles),
				"list only what the plugin runs from",
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	sum := sha256.New()
	for _, name := range names {
		word, of := "file", ""
		if kinds[name] == 0 {
			of, err = s.file(name)
		} else {
			word = "link"
			of, err = s.link(name)
		}
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(sum, "%s %s %s\n", word, of, strings.TrimPrefix(name, dir+"/"))
	}
	return treePrefix + hex.EncodeToString(sum.Sum(nil)), nil
}

// link returns the sum of a symbolic link's target. The target must be listed itself: otherwise the sum would say
// nothing about what is read through the link.
func (s *summer) link(name string) (string, error) {
	target, err := s.root.Readlink(filepath.FromSlash(name))
	if err != nil {
		return "", err
	}
	to := path.Join(path.Dir(name), filepath.ToSlash(target))
	switch {
	case absolute(target), !local(to):
		return "", &problem{
			fmt.Sprintf("the link %s in it leaves the plugin's directory", name),
			"replace it by a copy",
		}
	case !s.m.covered(to):
		return "", &problem{
			fmt.Sprintf("the link %s in it leads to %s, which is not in [files]", name, to),
			"list that, too",
		}
	}
	if _, err := s.root.Stat(filepath.FromSlash(name)); err != nil { // it follows links, but not out of the directory
		return "", &problem{
			fmt.Sprintf("the link %s in it leads nowhere, or out of the plugin's directory", name),
			"take it out",
		}
	}
	sum := sha256.Sum256([]byte(filepath.ToSlash(target)))
	return hex.EncodeToString(sum[:]), nil
}
