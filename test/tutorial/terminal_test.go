package tutorial_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/testhost"
)

// patience is how long a step may take: only a hang needs it.
const patience = 4 * time.Minute

// output is what a terminal shows.
type output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// terminal is a shell that types steps one after the other. It ends at the first that fails.
type terminal struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   output
	ended chan struct{}
	steps string // where the texts of steps are put
	n     int
}

func openTerminal(t *testing.T, dir string, env []string) *terminal {
	t.Helper()
	term := &terminal{t: t, ended: make(chan struct{}), steps: t.TempDir()}
	term.cmd = exec.Command("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")
	term.cmd.Dir, term.cmd.Env = dir, env
	term.cmd.Stdout, term.cmd.Stderr = &term.out, &term.out
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if term.in, err = term.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = term.cmd.Wait()
		close(term.ended)
	}()
	t.Cleanup(term.interrupt)
	return term
}

// begin types a step and does not wait for it.
func (term *terminal) begin(text string) (marker string) {
	term.t.Helper()
	term.n++
	path := filepath.Join(term.steps, fmt.Sprintf("%d.sh", term.n))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		term.t.Fatal(err)
	}
	marker = fmt.Sprintf("-- step %d is done --\n", term.n)
	_, _ = fmt.Fprintf(term.in, ". '%s' </dev/null; printf '%%s' '%s'\n", path, strings.TrimSuffix(marker, "\n"))
	_, _ = io.WriteString(term.in, "echo\n")
	return marker
}

// do types a step, waits for its end, and answers what it showed.
func (term *terminal) do(b block) string {
	term.t.Helper()
	from := len(term.out.String())
	marker := term.begin(b.text)
	deadline := time.After(patience)
	for {
		shown := term.out.String()[from:]
		if before, _, done := strings.Cut(shown, marker); done {
			return before
		}
		select {
		case <-term.ended:
			term.t.Fatalf("docs/plugin-authors.md, line %d: this step failed:\n%s\nit showed:\n%s",
				b.line, b.text, term.out.String()[from:])
		case <-deadline:
			term.t.Fatalf("docs/plugin-authors.md, line %d: this step did not end within %v:\n%s\nit showed:\n%s",
				b.line, patience, b.text, shown)
		case <-time.After(50 * time.Millisecond): // a poll of something outside this process
		}
	}
}

// interrupt is ^C, and then the terminal is closed.
func (term *terminal) interrupt() {
	term.t.Helper()
	select {
	case <-term.ended:
		return
	default:
	}
	_ = testhost.Signal(-term.cmd.Process.Pid, syscall.SIGINT)
	_ = term.in.Close()
	select {
	case <-term.ended:
	case <-time.After(time.Minute):
		term.t.Errorf("what runs in the terminal does not end on ^C; it shows:\n%s", term.out.String())
		_ = testhost.Signal(-term.cmd.Process.Pid, syscall.SIGKILL)
		<-term.ended
	}
}
