package profile

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
)

// Check builds a launch and looks for its program: it returns what would make the launch fail, before there is one.
func Check(l Launch) error {
	r, err := Build(l)
	if err != nil {
		return err
	}
	return Program(r.Process)
}

// Program looks for the program of a process as its shim does, and for the interpreter that its first line names.
// Errors: fault.NotFound, fault.PermissionDenied, fault.InvalidArgument.
func Program(p plugin.ProcessSpec) error {
	if runtime.GOOS == "windows" { // it finds programs in another way
		return nil
	}
	env := map[string]string{}
	for _, v := range p.Env {
		env[v.Name] = v.Value
	}
	at, failed := shim.FindProgram(p.Argv[0], p.Cwd, env["PATH"])
	if failed != nil {
		return launchFault(failed, "install the program, or set its path in launch.command")
	}
	interpreter, of := interpreterOf(at)
	if interpreter == "" {
		return nil
	}
	if _, failed := shim.FindProgram(interpreter, p.Cwd, env["PATH"]); failed != nil {
		failed.Message += ", the interpreter of " + at
		return launchFault(failed, fmt.Sprintf("install %s, or add its directory to launch.path_prepend", of))
	}
	return nil
}

func launchFault(f *shim.Failure, hint string) error {
	code := fault.InvalidArgument
	switch f.Code {
	case shim.CodeNotFound:
		code = fault.NotFound
	case shim.CodePermission:
		code = fault.PermissionDenied
	default:
		hint = ""
	}
	return fault.New(code, f.Message).WithHint(hint)
}

// interpreterOf returns the interpreter that a script's first line names, and its name for people; "" for a program
// that is no script, or that cannot be read.
func interpreterOf(path string) (interpreter, name string) {
	f, err := os.Open(path) //nolint:gosec // the operator named it; FindProgram has looked at it
	if err != nil {
		return "", ""
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", ""
	}
	line, err := bufio.NewReaderSize(f, 256).ReadSlice('\n')
	if err != nil || !strings.HasPrefix(string(line), "#!") {
		return "", ""
	}
	words := strings.Fields(string(line[2:]))
	switch {
	case len(words) == 0:
		return "", ""
	case filepath.Base(words[0]) != "env":
		return words[0], words[0]
	}
	for _, w := range words[1:] { // env -S node --flag, env -i A=b node
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
			return w, w
		}
	}
	return "", ""
}
