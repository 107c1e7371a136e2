package conformance

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ChildVerb is the argument by which a binary becomes the program that a launcher launches in the checks.
const ChildVerb = "conformance-child"

// ChildMain makes a test binary that program, when it was started as such; call it first in TestMain. Options.Child is
// then the binary's path and ChildVerb.
func ChildMain() {
	if len(os.Args) > 1 && os.Args[1] == ChildVerb {
		os.Exit(RunChild(os.Args[2:], os.Stdout, os.Stderr)) //nolint:forbidigo // it is a main
	}
}

// child is what a launched program does, as its arguments say. It never outlives its directory.
type child struct {
	dir        string
	lines      int           // numbered ones, on each output
	pace       time.Duration // between them
	exit       int
	hold       bool // until the file "go" is in its directory
	stubborn   bool // SIGTERM does not end it
	grandchild bool // it starts another, in a session of its own, that keeps its outputs
	env        bool // it prints its environment and its directory
	partial    bool // its last line has no end
	echo       bool // its standard input
}

// childLife is how long it lives at most.
const childLife = 3 * time.Minute

// RunChild is the program; args are those after ChildVerb. It returns the exit code.
func RunChild(args []string, stdout, stderr io.Writer) int {
	c, err := parseChild(args)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 64
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, childSignals()...)
	if err := c.begin(); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 65
	}
	out := bufio.NewWriter(stdout)
	c.print(out, stderr)
	if err := out.Flush(); err != nil {
		return 66
	}
	code, ended := c.wait(signals, stdout)
	if c.partial && !ended {
		_, _ = io.WriteString(stdout, "the last words")
	}
	return code
}

func parseChild(args []string) (child, error) {
	if len(args) == 0 || !filepath.IsAbs(args[0]) {
		return child{}, fmt.Errorf("usage: %s DIR [hold|stubborn|grandchild|env|partial|echo|lines=N|pace=D|exit=N]",
			ChildVerb)
	}
	c := child{dir: args[0]}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		var err error
		switch name {
		case "hold":
			c.hold = true
		case "stubborn":
			c.stubborn = true
		case "grandchild":
			c.grandchild = true
		case "env":
			c.env = true
		case "partial":
			c.partial = true
		case "echo":
			c.echo = true
		case "lines":
			c.lines, err = strconv.Atoi(value)
		case "exit":
			c.exit, err = strconv.Atoi(value)
		case "pace":
			c.pace, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("%s: unknown argument %q", ChildVerb, a)
		}
		if err != nil {
			return child{}, err
		}
	}
	return c, nil
}

// begin leaves its pid, a line in the file "starts", and starts the grandchild, which leaves its own in
// "grandchildren".
func (c child) begin() error {
	name := "starts"
	if slices.Contains(os.Environ(), grandchildEnv) {
		name = "grandchildren"
	}
	f, err := os.OpenFile(filepath.Join(c.dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return err
	}
	if err := f.Close(); err != nil || !c.grandchild {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, ChildVerb, c.dir, "hold", "stubborn") //nolint:noctx // it outlives us on purpose
	cmd.Env = append(os.Environ(), grandchildEnv)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	for until := time.Now().Add(childLife); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if data, err := os.ReadFile(filepath.Join(c.dir, "grandchildren")); err == nil &&
			strings.HasSuffix(string(data), "\n") {
			return nil
		}
	}
	return fmt.Errorf("the grandchild does not begin")
}

const grandchildEnv = "GATEHOST_VERIFY_GRANDCHILD=1"

func (c child) print(out *bufio.Writer, stderr io.Writer) {
	if c.env {
		for _, e := range os.Environ() {
			_, _ = fmt.Fprintf(out, "env %s\n", e)
		}
		dir, _ := os.Getwd()
		_, _ = fmt.Fprintf(out, "cwd %s\n", dir)
	}
	if c.echo {
		_, _ = io.Copy(out, os.Stdin)
	}
	for n := 1; n <= c.lines; n++ {
		_, _ = fmt.Fprintf(out, "out %d\n", n)
		_, _ = fmt.Fprintf(stderr, "err %d\n", n)
		if c.pace > 0 {
			_ = out.Flush()
			if _, err := os.Stat(c.dir); err != nil {
				return
			}
			time.Sleep(c.pace)
		}
	}
}

// wait lives as long as it should, and says so when a signal comes. ended reports that a signal ended it.
func (c child) wait(signals <-chan os.Signal, stdout io.Writer) (code int, ended bool) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(childLife); c.hold && time.Now().Before(until); {
		if _, err := os.Stat(filepath.Join(c.dir, "go")); err == nil {
			break
		}
		if _, err := os.Stat(c.dir); err != nil {
			return 0, true
		}
		select {
		case s := <-signals:
			_, _ = fmt.Fprintf(stdout, "signal %v\n", s)
			if isTerm(s) && !c.stubborn {
				return c.exit, true
			}
		case <-tick.C:
		}
	}
	return c.exit, false
}
