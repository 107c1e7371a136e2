// Command plugin is a plugin for tests of the plugin host; its first argument, or the file "mode" in its directory,
// says how it misbehaves.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	if text, err := os.ReadFile("mode"); err == nil {
		mode = string(text)
	}
	if mode == "calls" {
		callAsStranger(os.Args[2])
	}
	_ = first("starts")
	if announced, ok := strings.CutPrefix(mode, "versions "); ok {
		serveVersions(strings.Fields(announced)...)
	}
	switch mode {
	case "needs": // an interpreter that cannot begin without a file of its own: lib=etc/odd/lib
		if _, err := os.ReadFile("/" + strings.TrimPrefix(os.Args[2], "lib=")); err != nil {
			fmt.Fprintln(os.Stderr, "odd: cannot load:", err)
			os.Exit(2)
		}
	case "silent":
		time.Sleep(time.Hour)
	case "grows":
		mib, _ := strconv.Atoi(os.Args[2])
		grow(mib << 20)
		time.Sleep(time.Hour)
	case "exits":
		fmt.Fprintln(os.Stderr, "I cannot go on")
		os.Exit(3)
	case "garbage":
		fmt.Println("hello, I am no plugin")
		time.Sleep(time.Hour)
	case "old-protocol":
		fmt.Println("1|99|unix|/nowhere|grpc|")
		time.Sleep(time.Hour)
	case "long-stdout":
		fmt.Println(strings.Repeat("x", 200<<10))
		time.Sleep(time.Hour)
	case "deaf": // listens and never accepts
		path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "plugin1")
		if _, err := net.Listen("unix", path); err != nil {
			panic(err)
		}
		fmt.Println("1|1|unix|" + path + "|grpc|")
		time.Sleep(time.Hour)
	case "script-of-another", "impostor": // a child listens, in the same group or not
		another(mode == "impostor")
	case "old-socket": // where an author who does not know the contract would put it
		path := filepath.Join(os.Getenv("GATEHOST_TEST_DIR"), "own.sock")
		if _, err := net.Listen("unix", path); err != nil {
			panic(err)
		}
		fmt.Println("1|1|unix|" + path + "|grpc|")
		time.Sleep(time.Hour)
	case "elsewhere":
		fmt.Println("1|1|tcp|192.0.2.1:443|grpc|")
		time.Sleep(time.Hour)
	case "stops":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "future":
		serveVersions("doctor=3-4")
	case "versions":
		serveVersions(os.Args[2:]...)
	case "floods":
		go func() {
			for i := 0; ; i++ {
				fmt.Fprintln(os.Stderr, "flood", i)
			}
		}()
	}
	p := pluginkit.Plugin{
		Name: "test-plugin", Version: "1.2.3", WantedGrants: []string{"gateway-config"}, Doctor: patient{},
		Configure: func(_ context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
			return take(mode, req)
		},
	}
	if !misbehave(mode, &p) {
		switch mode {
		case "launches":
			p.Launcher = &counter{}
		case "classifies":
			p.Classifier = &classifier.Fake{Judge: func(classifier.NumberedLine) classifier.Verdict {
				return classifier.Verdict{Level: classifier.LevelInfo, Text: fmt.Sprint(os.Getpid())}
			}}
		}
	}
	pluginkit.Serve(p)
}

// counter is a launcher whose output is the numbers from 1 to 30, each its own cursor.
type counter struct{ launcher.Fake }

// Output misbehaves once after ten lines, as the launch id says; the next process, or the next call, continues.
func (c *counter) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	for n := req.Cursor + 1; n <= 30; n++ {
		if err := sink(&launcher.LineBatch{Lines: []plugin.Line{{Cursor: n, Stream: plugin.Stdout,
			Text: fmt.Sprint(n)}}}); err != nil {
			return err
		}
		if n != 10 || !first("output") {
			continue
		}
		switch req.LaunchID {
		case "dies":
			time.Sleep(100 * time.Millisecond) // so that the lines are on their way
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "falls-silent":
			<-ctx.Done()
			return ctx.Err()
		}
	}
	return sink(&launcher.End{EndCursor: 30, Exit: plugin.Exit{Known: true}})
}

// Signal is not idempotent: it counts its calls, and dies.
func (c *counter) Signal(context.Context, string, string) error {
	_ = first("signal")
	os.Exit(9)
	return nil
}

// Inspect returns a fault of its own that has the code of a missed deadline.
func (c *counter) Inspect(context.Context, string) (launcher.Inspection, error) {
	return launcher.Inspection{}, &fault.Error{
		Code: fault.DeadlineExceeded, Message: "something survived", Hint: "look at pid 7",
		Details: map[string]string{"pid": "7"},
	}
}

// first counts calls in a file of the data directory, across processes.
func first(what string) bool {
	old, _ := os.ReadFile(what)
	_ = os.WriteFile(what, append(old, 'x'), 0o600)
	return len(old) == 0
}

// patient is a doctor whose Diagnose does what the error code of the incident says.
type patient struct{}

func (patient) Diagnose(ctx context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	what := ""
	if req.Incident != nil {
		what = req.Incident.ErrorCode
	}
	switch does, arg, _ := strings.Cut(what, " "); does {
	case "try":
		return try(arg)
	case "word":
		return secretOf(arg)
	}
	switch what {
	case "panic":
		panic("planted")
	case "hang":
		<-ctx.Done()
		return doctor.Diagnosis{}, ctx.Err()
	case "die":
		os.Exit(9)
	case "stop-yourself":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "die-with-grandchild":
		cmd := exec.Command("/bin/sleep", "60")
		cmd.Stdout, cmd.Stderr = os.NewFile(1, "stdout"), os.NewFile(2, "stderr") // what an author should not do
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return doctor.Diagnosis{}, err
		}
		_ = os.WriteFile("grandchild", []byte(fmt.Sprint(cmd.Process.Pid)), 0o600)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "slow": // the first time only, until the test allows it
		if first("slow") {
			await(ctx, "go")
		}
	case "late": // whatever its caller has decided meanwhile
		time.Sleep(time.Second)
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "late", Text: "late"}}}, nil
	case "grow":
		grow(150 << 20)
	case "grow-much":
		grow(600 << 20)
	case "bad-code":
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "Not A Code\x1b[2J", Text: "x"}}}, nil
	case "too-many":
		return doctor.Diagnosis{Findings: make([]doctor.Finding, 5000)}, nil
	case "control-characters":
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "odd", Text: "a\x1b]0;title\x07b\xff",
			Severity: 99}}}, nil
	case "talks":
		pluginkit.Logger("deep").Error("a planted log line", "answer", 42)
		fmt.Fprintln(os.Stderr, "planted words on stderr")
		fmt.Println("planted words on stdout")
	case "fault":
		return doctor.Diagnosis{}, fault.New(fault.Conflict, "cannot look: another doctor does").WithHint("wait")
	case "huge":
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "huge", Data: make([]byte, 20<<20)}}}, nil
	case "table":
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "table",
			Text: fmt.Sprint(os.Getpid(), " ", inForce.Load().(string))}}}, nil
	case "environment":
		text, _ := json.Marshal(os.Environ())
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "environment", Data: text}}}, nil
	}
	return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "fine", Text: fmt.Sprint(os.Getpid())}}}, nil
}

func (patient) Plan(context.Context, plugin.GatewayFacts, doctor.Finding) (*doctor.Plan, error) {
	return nil, nil
}

// Repair takes a while, as the contract allows.
func (patient) Repair(context.Context, doctor.RepairRequest, func(doctor.Progress)) (doctor.RepairResult, error) {
	time.Sleep(600 * time.Millisecond)
	return doctor.RepairResult{Changed: true}, nil
}
