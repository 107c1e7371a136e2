package launcher

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wire"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

var launchIDs = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// ValidLaunchID reports whether id may name a launch: 1 to 64 of [A-Za-z0-9._-], not beginning with a dot, because it
// also names a folder.
func ValidLaunchID(id string) bool { return launchIDs.MatchString(id) }

func launchTo(r LaunchRequest) *pb.LaunchRequest {
	out := &pb.LaunchRequest{
		LaunchId: r.LaunchID, Gateway: wire.Facts(r.Gateway), Process: wire.Process(r.Process),
		Grace:          wire.Duration(r.Grace),
		OutputMaxBytes: r.OutputMaxBytes, Labels: r.Labels,
	}
	if r.OrphanGrace != nil {
		out.OrphanGrace = durationpb.New(*r.OrphanGrace) // present, also when 0: absent means never
	}
	return out
}

func launchFrom(r *pb.LaunchRequest) (LaunchRequest, error) {
	out := LaunchRequest{
		LaunchID: r.GetLaunchId(), Gateway: wire.FactsFrom(r.GetGateway()), Process: wire.ProcessFrom(r.GetProcess()),
		Grace: r.GetGrace().AsDuration(), OutputMaxBytes: r.GetOutputMaxBytes(), Labels: r.GetLabels(),
	}
	if r.GetOrphanGrace() != nil {
		d := r.GetOrphanGrace().AsDuration()
		out.OrphanGrace = &d
	}
	switch {
	case !ValidLaunchID(out.LaunchID):
		return out, fault.New(fault.InvalidArgument, "cannot launch: the launch id is not 1 to 64 of [A-Za-z0-9._-]")
	case len(out.Process.Argv) == 0 || out.Process.Argv[0] == "":
		return out, fault.New(fault.InvalidArgument, "cannot launch: no program is named")
	case len(out.Labels) > maxLabels:
		return out, fault.New(fault.InvalidArgument, "cannot launch: more than 64 labels")
	case out.Grace < 0 || out.OrphanGrace != nil && *out.OrphanGrace < 0:
		return out, fault.New(fault.InvalidArgument, "cannot launch: a grace is negative")
	}
	return out, checkEnv(out.Process.Env)
}

// checkEnv names a faulty variable and never shows its value.
func checkEnv(env []plugin.EnvVar) error {
	for _, v := range env {
		if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.ContainsRune(v.Value, 0) {
			return fault.New(fault.InvalidArgument,
				fmt.Sprintf("the environment variable %q has a faulty name or a zero byte in its value", v.Name))
		}
	}
	return nil
}

func instanceTo(i Instance) *pb.Instance {
	return &pb.Instance{
		LaunchId: i.LaunchID, Gateway: i.Gateway, Phase: pb.InstancePhase(i.Phase), //nolint:gosec // a small enum
		Pid:       int64(i.PID),
		StartTime: i.StartTime,
		BootId:    i.BootID, StartedAt: wire.Timestamp(i.StartedAt), Exit: wire.Exit(i.Exit), OutputEnd: i.OutputEnd,
		Labels: i.Labels, Detail: wire.Text(i.Detail, 4096), ShimPid: int64(i.ShimPID),
	}
}

func instanceFrom(i *pb.Instance) (Instance, error) {
	out := Instance{
		LaunchID: i.GetLaunchId(), Gateway: wire.Text(i.GetGateway(), 256), Phase: Phase(i.GetPhase()),
		PID:       int(i.GetPid()),
		StartTime: wire.Text(i.GetStartTime(), 256), BootID: wire.Text(i.GetBootId(), 256),
		StartedAt: wire.Time(i.GetStartedAt()),
		Exit:      wire.ExitFrom(i.GetExit()), OutputEnd: i.GetOutputEnd(), Labels: i.GetLabels(),
		Detail: wire.Text(i.GetDetail(), 4096), ShimPID: int(i.GetShimPid()),
	}
	switch {
	case i == nil:
		return out, wire.Violation("it left out the instance")
	case !ValidLaunchID(out.LaunchID):
		return out, wire.Violation("an instance has a launch id that is none")
	case out.Phase < PhaseStarting || out.Phase > PhaseElsewhere:
		return out, wire.Violation("instance %s is in phase %d", out.LaunchID, i.GetPhase())
	case out.PID < 0 || out.Phase == PhaseRunning && out.PID == 0:
		return out, wire.Violation("instance %s is %s with pid %d", out.LaunchID, out.Phase, out.PID)
	case out.Phase == PhaseEnded && out.Exit == nil:
		return out, wire.Violation("instance %s has ended without an exit", out.LaunchID)
	case len(out.Labels) > maxLabels:
		return out, wire.Violation("instance %s has %d labels", out.LaunchID, len(out.Labels))
	}
	return out, nil
}

// itemTo cuts batches that are too long for one message.
func itemTo(item OutputItem) []*pb.OutputResponse {
	switch item := item.(type) {
	case *LineBatch:
		return batches(item.Lines)
	case *Gap:
		return one(&pb.OutputResponse{Item: &pb.OutputResponse_Gap{Gap: &pb.Gap{
			From: item.From, To: item.To,
			Bytes: item.Bytes, ToLine: item.ToLine,
		}}})
	case *Heartbeat:
		return one(
			&pb.OutputResponse{Item: &pb.OutputResponse_Heartbeat{Heartbeat: &pb.Heartbeat{Cursor: item.Cursor}}})
	case *End:
		return one(&pb.OutputResponse{Item: &pb.OutputResponse_End{End: &pb.End{
			Exit: wire.Exit(&item.Exit), EndCursor: item.EndCursor, Truncated: item.Truncated,
		}}})
	default:
		return nil
	}
}

func one(m *pb.OutputResponse) []*pb.OutputResponse { return []*pb.OutputResponse{m} }

func batches(lines []plugin.Line) []*pb.OutputResponse {
	var out []*pb.OutputResponse
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && n < maxBatch && (n == 0 || size+len(lines[n].Text) <= 1<<20) {
			size += len(lines[n].Text)
			n++
		}
		out = append(out,
			&pb.OutputResponse{Item: &pb.OutputResponse_Batch{Batch: &pb.LineBatch{Lines: wire.Lines(lines[:n])}}})
		lines = lines[n:]
	}
	return out
}

// itemFrom checks that cursors only grow: a line twice, or a jump back, violates the contract.
func itemFrom(r *pb.OutputResponse, cursor *uint64) (OutputItem, error) {
	switch item := r.GetItem().(type) {
	case *pb.OutputResponse_Batch:
		if len(item.Batch.GetLines()) > maxBatch {
			return nil, wire.Violation("a batch of %d lines", len(item.Batch.GetLines()))
		}
		lines := wire.LinesFrom(item.Batch.GetLines())
		for _, l := range lines {
			if l.Cursor <= *cursor {
				return nil, wire.Violation("a line with cursor %d after %d", l.Cursor, *cursor)
			}
			*cursor = l.Cursor
		}
		return &LineBatch{Lines: lines}, nil
	case *pb.OutputResponse_Gap:
		g := &Gap{
			From: item.Gap.GetFrom(), To: item.Gap.GetTo(), Bytes: item.Gap.GetBytes(),
			ToLine: item.Gap.GetToLine(),
		}
		if g.To < *cursor || g.To < g.From {
			return nil, wire.Violation("a gap from %d to %d after cursor %d", g.From, g.To, *cursor)
		}
		*cursor = g.To
		return g, nil
	case *pb.OutputResponse_Heartbeat:
		return &Heartbeat{Cursor: item.Heartbeat.GetCursor()}, nil
	case *pb.OutputResponse_End:
		end := &End{EndCursor: item.End.GetEndCursor(), Truncated: item.End.GetTruncated()}
		x := wire.ExitFrom(item.End.GetExit())
		if x == nil {
			return nil, wire.Violation("an end without an exit")
		}
		if end.EndCursor < *cursor {
			return nil, wire.Violation("an end at cursor %d after %d", end.EndCursor, *cursor)
		}
		end.Exit = *x
		return end, nil
	default:
		return nil, wire.Violation("an empty item of output")
	}
}
