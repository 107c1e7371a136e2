// Command gatehost-shim is the parent of one gateway. Launchers start it through shared/shim; it is not meant for
// people.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gatehost/gatehost/internal/initprocess"
	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/server"
)

const usage = `usage: gatehost-shim run LAUNCH_ID    launch what standard input describes (see shared/shim)
       gatehost-shim init PROGRAM [ARG]...   be process 1 of a container: run a program, pass signals on, reap orphans,
                                             and start the program again when it was killed
       gatehost-shim version

gatehost-shim is started by launcher plugins and outlives them. To see its gateways: gatehost status
`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "run":
		return server.Run()
	case "exec-child": // internal: a gateway's process before it runs its program
		return server.ExecChild(args[1:])
	case "init":
		return initMain(args[1:])
	case "version":
		fmt.Fprintf(os.Stdout, "gatehost-shim protocol %d\n", shim.ProtocolVersion)
		return 0
	default:
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
}

// initMain is "init": its program is looked up as a shell would.
func initMain(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	path, err := exec.LookPath(args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gatehost-shim: cannot run the program of the container:", err)
		return 127
	}
	return initprocess.Run(append([]string{path}, args[1:]...), os.Stderr)
}
