package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// runner is what one Run works with. Used by one goroutine.
type runner struct {
	opener    Opener
	opts      Options
	info      plugin.Info
	inProcess bool
	note      string // of the present check: a figure that it found

	plain     Process // with nothing granted
	trusted   Process // may write to the scratch gateways
	scratches int
	answers   map[plugin.Kind]error // what calls to a kind said, by which it is known whether it is served
	diagnosed *doctorRuns           // of a doctor
	spans     *lifetimes
	beat      *pulse // of a launcher
	runs      int    // of the launcher's child
	asked     int    // questions to a classifier
}

// begin starts the plugin for the first time.
func (rn *runner) begin(ctx context.Context) error {
	p, err := rn.opener.Open(ctx)
	if err != nil {
		return err
	}
	rn.plain, rn.info, rn.inProcess = p, p.Info(), p.PID() == 0
	rn.answers = map[plugin.Kind]error{}
	return nil
}

// process is a running process of the plugin that checks share, with nothing granted.
func (rn *runner) process(ctx context.Context) (Process, error) {
	return rn.current(ctx, &rn.plain)
}

// granted is the same for one that may write to the scratch gateways, as an operator would grant it to a doctor with
// delegated steps.
func (rn *runner) granted(ctx context.Context) (Process, error) {
	return rn.current(ctx, &rn.trusted, rn.scratchDir())
}

func (rn *runner) current(ctx context.Context, slot *Process, write ...string) (Process, error) {
	if p := *slot; p != nil {
		select {
		case <-p.Done():
			p.Close()
			*slot = nil
		default:
			return p, nil
		}
	}
	if err := makeDirs(write...); err != nil {
		return nil, err
	}
	p, err := rn.opener.Open(ctx, write...)
	if err != nil {
		return nil, fmt.Errorf("it does not start any more: %w", err)
	}
	*slot = p
	return p, nil
}

// own is a process for the present check alone. Close it.
func (rn *runner) own(ctx context.Context, write ...string) (Process, error) {
	if err := makeDirs(write...); err != nil {
		return nil, err
	}
	p, err := rn.opener.Open(ctx, write...)
	if err != nil {
		return nil, fmt.Errorf("another process of it does not start: %w", err)
	}
	return p, nil
}

// renew gives up the shared processes: something is wrong with one of them.
func (rn *runner) renew() {
	for _, slot := range []*Process{&rn.plain, &rn.trusted} {
		if *slot != nil {
			(*slot).Close()
			*slot = nil
		}
	}
}

func (rn *runner) close() {
	if rn.beat != nil {
		rn.beat.end()
	}
	rn.renew()
}

func (rn *runner) scratchDir() string { return filepath.Join(rn.opts.Dir, "gateways") }

// noteDown keeps a figure to be shown with a check that holds.
func (rn *runner) noteDown(format string, args ...any) { rn.note = fmt.Sprintf(format, args...) }

// within is a context for one call: the contract's deadline, or the stricter one that was asked for.
func (rn *runner) within(ctx context.Context, contract time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, rn.deadline(contract))
}

func (rn *runner) deadline(contract time.Duration) time.Duration {
	if rn.opts.Deadline > 0 {
		return min(contract, rn.opts.Deadline)
	}
	return contract
}

// lost explains an error that is no answer: the deadline passed, or the process went. nil for an answer, an error that
// means something included.
func (rn *runner) lost(p Process, call string, err error) error {
	switch err = fault.FromStatus(err); {
	case err == nil:
		return nil
	case errors.Is(err, fault.ErrPluginGone):
		return breach("a call must not end the process; turn what went wrong into an error",
			"the process ended during %s%s", call, lastWords(p))
	case errors.Is(err, context.DeadlineExceeded):
		return breach("answer in time; the contract's deadlines stand in base.proto",
			"%s was not answered within its deadline", call)
	case fault.CodeOf(err) == fault.Exhausted:
		return breach("messages have up to 16 MiB; raise the limit of the gRPC server", "%s: %v", call, err)
	default:
		return nil
	}
}

// lastWords are for an error about a process that ended: what it logged last, without what is for developers of its
// library.
func lastWords(p Process) string {
	var words []string
	for _, line := range p.LastLines() {
		var entry struct {
			Level   string `json:"@level"`
			Message string `json:"@message"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Message != "" {
			if line = entry.Message; entry.Level == "debug" || entry.Level == "trace" {
				continue
			}
		}
		if line = strings.TrimSpace(line); line != "" {
			words = append(words, line)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "; its last lines: " + strings.Join(words[max(0, len(words)-5):], " | ")
}

// served reports whether the plugin answers calls to a kind at all.
func (rn *runner) served(ctx context.Context, kind plugin.Kind) bool {
	err, known := rn.answers[kind]
	if !known {
		p, openErr := rn.process(ctx)
		if openErr != nil {
			return true // of that the check itself speaks
		}
		ctx, cancel := rn.within(ctx, deadlineDiagnose)
		defer cancel()
		err = rn.knock(ctx, p, kind)
		rn.answers[kind] = err
	}
	return !missing(err)
}

// knock calls a kind with a question that changes nothing.
func (rn *runner) knock(ctx context.Context, p Process, kind plugin.Kind) error {
	var err error
	cc := p.Conn()
	gateway := &pb.GatewayFacts{Name: "verify", Port: 18789, Command: []string{"openclaw"}, Profile: "openclaw"}
	switch kind {
	case plugin.KindDoctor:
		_, err = rn.doctor(p).Diagnose(ctx, &pb.DiagnoseRequest{Gateway: gateway})
	case plugin.KindLauncher:
		_, err = pb.NewLauncherServiceClient(cc).List(ctx, &pb.ListRequest{})
	case plugin.KindUnloader:
		_, err = pb.NewUnloaderServiceClient(cc).Inspect(ctx, &pb.UnloaderServiceInspectRequest{Gateway: gateway})
	case plugin.KindClassifier:
		_, err = classify(ctx, cc, gateway, "knock", batchOf(1, "a line"))
	}
	return err
}

// missing reports whether an error says that the method is not served, in the words of the gRPC libraries, or the
// host's. A plugin that answers unsupported has the same code and other words.
func missing(err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(err.Error())
	// what the host makes of the others
	if strings.Contains(text, "announces a ") && strings.Contains(text, " and does not serve ") {
		return true
	}
	if fault.CodeOf(fault.FromStatus(err)) != fault.Unsupported {
		return false
	}
	for _, words := range []string{
		"unknown service", "unknown method", " not implemented", "does not implement",
		"method not found",
	} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// ask puts a small fixed question to each kind that the plugin serves. Two answers of a plugin that stayed what it was
// are equal.
func (rn *runner) ask(ctx context.Context, p Process) (string, error) {
	var out strings.Builder
	for _, kind := range plugin.Kinds() {
		if !rn.info.Serves(kind) || !rn.served(ctx, kind) {
			continue
		}
		text, err := rn.askKind(ctx, p, kind)
		if lost := rn.lost(p, "a call as "+string(kind), err); lost != nil {
			return "", lost
		}
		if err != nil {
			text = string(fault.CodeOf(fault.FromStatus(err)))
		}
		fmt.Fprintf(&out, "%s: %s\n", kind, text)
	}
	return out.String(), nil
}

func (rn *runner) askKind(ctx context.Context, p Process, kind plugin.Kind) (string, error) {
	ctx, cancel := rn.within(ctx, deadlineDiagnose)
	defer cancel()
	switch kind {
	case plugin.KindDoctor:
		incident := builtIn()[0]
		gateway := factsIn(filepath.Join(rn.scratchDir(), "nowhere"), incident)
		r, err := rn.doctor(p).Diagnose(ctx, &pb.DiagnoseRequest{Gateway: gateway, Incident: incident.message()})
		return inWords(r), err
	case plugin.KindClassifier:
		rn.asked++ // another launch each time: a classifier may remember what it said of one
		launch := fmt.Sprintf("question-%d", rn.asked)
		got, err := classify(ctx, p.Conn(), &pb.GatewayFacts{Name: "verify", Port: 18789}, launch,
			batchOf(1, sampleLines()...))
		return verdictsInWords(got), err
	case plugin.KindLauncher:
		r, err := pb.NewLauncherServiceClient(p.Conn()).List(ctx, &pb.ListRequest{Gateway: "no-gateway"})
		return fmt.Sprint(len(r.GetInstances())), err
	case plugin.KindUnloader:
		r, err := pb.NewUnloaderServiceClient(p.Conn()).Inspect(ctx,
			&pb.UnloaderServiceInspectRequest{Gateway: &pb.GatewayFacts{Name: "verify", Port: 18789}})
		var ids []string
		for _, s := range r.GetServices() {
			ids = append(ids, s.GetId())
		}
		return strings.Join(ids, ","), err
	default:
		return "", nil
	}
}
