package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// switchboard is the file that a build adds to the package. It reads at the start of each process which condition is
// negated, or where to record the conditions that are evaluated. The name of that file is a constant of the build, not
// of the environment: processes whose environment is empty read it too.
const switchboard = `package %s

import (
	gatehostOS "os"
	gatehostStrconv "strconv"
	gatehostStrings "strings"
	gatehostSyscall "syscall"
)

var gatehostNegated, gatehostReached = func() (int, []byte) {
	text, _ := gatehostOS.ReadFile(%q)
	word, value, _ := gatehostStrings.Cut(string(text), " ")
	switch word {
	case "negate":
		id, _ := gatehostStrconv.Atoi(value)
		return id, nil
	case "record":
		f, err := gatehostOS.OpenFile(value, gatehostOS.O_RDWR, 0)
		if err != nil {
			return 0, nil
		}
		defer f.Close() // no descriptor stays open, since tests close and count them
		reached, _ := gatehostSyscall.Mmap(int(f.Fd()), 0, %d, gatehostSyscall.PROT_READ|gatehostSyscall.PROT_WRITE,
			gatehostSyscall.MAP_SHARED)
		return 0, reached
	}
	return 0, nil
}()

func gatehostMutate[B ~bool](id int, condition B) B {
	if gatehostReached != nil {
		gatehostReached[id] = 1
	}
	if id == gatehostNegated {
		return !condition
	}
	return condition
}
`

// overlay writes what a build with all mutants needs into dir, and returns the path of the overlay. A process of that
// build reads the file control.
func overlay(dir string, pkg target, mutants []mutant, control string) (string, error) {
	replace := map[string]string{}
	write := func(path, name string, text []byte) error {
		to := filepath.Join(dir, name)
		replace[path] = to
		return os.WriteFile(to, text, 0o644) //nolint:gosec // tests that change their user build with it
	}
	byFile := map[string][]mutant{}
	for _, m := range mutants {
		byFile[m.file] = append(byFile[m.file], m)
	}
	for path, of := range byFile {
		src, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if err := write(path, filepath.Base(path), instrument(src, of)); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf(switchboard, pkg.Name, control, len(mutants)+1)
	if err := write(filepath.Join(pkg.Dir, "gatehost_mutate.go"), "gatehost_mutate.go", []byte(text)); err != nil {
		return "", err
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o644) //nolint:gosec // see above
}

// withOverlay returns an environment in which the programs that tests build have the mutants too.
func withOverlay(env []string, goflags, overlay, tmp string) []string {
	flags := strings.TrimSpace(goflags + " -overlay=" + overlay)
	return append(env, "GOFLAGS="+flags, "TMPDIR="+tmp)
}
