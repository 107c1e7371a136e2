// Package wire converts the common vocabulary between shared/plugin and the generated messages, and bounds what comes
// from the other side. It holds no other logic.
package wire

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// MaxMessage is the largest message in bytes, either way.
const MaxMessage = 16 << 20

// MaxLine is the longest line of output in bytes.
const MaxLine = 64 << 10

// Violation is the error of an answer that breaks the contract.
func Violation(format string, args ...any) error {
	return fault.New(fault.Internal, "plugin violated the contract: "+fmt.Sprintf(format, args...)).
		WithHint("tell the plugin's author; `gatehost plugin verify` shows what it should answer")
}

// Text bounds a text in bytes, at the end of a character, and makes it valid UTF-8; protobuf refuses to send anything
// else.
func Text(s string, limit int) string {
	if len(s) <= limit && utf8.ValidString(s) {
		return s
	}
	s = strings.ToValidUTF8(s[:min(len(s), limit+utf8.UTFMax)], "\uFFFD")
	for len(s) > limit {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// Whole refuses what Text would cut: part of a command or a path is worse than nothing.
func Whole(what, s string, limit int) error {
	if len(s) > limit || strings.ContainsRune(s, 0) {
		return Violation("%s of %d bytes, or with a zero byte in it", what, len(s))
	}
	return nil
}

// Wholes is Whole for a list of at most count.
func Wholes(what string, in []string, count, limit int) error {
	if len(in) > count {
		return Violation("%d times %s", len(in), what)
	}
	for _, s := range in {
		if err := Whole(what, s, limit); err != nil {
			return err
		}
	}
	return nil
}

// Limit converts a time limit that a plugin asks for: 0 when it names none, never more than most. Errors: a violation
// when it is negative.
func Limit(d *durationpb.Duration, most time.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if !d.IsValid() || d.AsDuration() < 0 {
		return 0, Violation("a time limit of %d seconds", d.GetSeconds())
	}
	return min(d.AsDuration(), most), nil
}

// Strings bounds and cleans a list.
func Strings(in []string, count, limit int) []string {
	if len(in) == 0 {
		return nil
	}
	out := make([]string, 0, min(len(in), count))
	for _, s := range in[:min(len(in), count)] {
		out = append(out, Text(s, limit))
	}
	return out
}

// Timestamp converts a time; the zero time is absent.
func Timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// Time converts a timestamp; an absent or invalid one is the zero time.
func Time(t *timestamppb.Timestamp) time.Time {
	if t == nil || !t.IsValid() {
		return time.Time{}
	}
	return t.AsTime()
}

// Duration converts a duration; 0 is absent.
func Duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// Facts converts a gateway's facts.
func Facts(f plugin.GatewayFacts) *pb.GatewayFacts {
	port := uint32(0)
	if f.Port > 0 && f.Port < 1<<16 {
		port = uint32(f.Port)
	}
	return &pb.GatewayFacts{
		Name: f.Name, Port: port, Command: f.Command, Args: f.Args, Cwd: f.Cwd, Profile: f.Profile,
		Version: Text(f.Version, 256), StateDir: f.StateDir, ConfigPath: f.ConfigPath, State: f.State,
		Host: Host(f.Host),
	}
}

// FactsFrom converts a gateway's facts.
func FactsFrom(f *pb.GatewayFacts) plugin.GatewayFacts {
	return plugin.GatewayFacts{
		Name: f.GetName(), Port: int(f.GetPort()), Command: f.GetCommand(), Args: f.GetArgs(), Cwd: f.GetCwd(),
		Profile: f.GetProfile(), Version: f.GetVersion(), StateDir: f.GetStateDir(), ConfigPath: f.GetConfigPath(),
		State: f.GetState(),
		Host:  HostFrom(f.GetHost()),
	}
}

// Host converts the host that asks.
func Host(h plugin.HostInfo) *pb.HostInfo {
	return &pb.HostInfo{Version: h.Version, Os: h.OS, Arch: h.Arch}
}

// HostFrom converts the host that asks.
func HostFrom(h *pb.HostInfo) plugin.HostInfo {
	return plugin.HostInfo{Version: h.GetVersion(), OS: h.GetOs(), Arch: h.GetArch()}
}

// Process converts what to run.
func Process(p plugin.ProcessSpec) *pb.ProcessSpec {
	out := &pb.ProcessSpec{Argv: p.Argv, Cwd: p.Cwd, User: p.User}
	for _, v := range p.Env {
		out.Env = append(out.Env, &pb.EnvVar{
			Name: Text(v.Name, 4096), Value: Text(v.Value, MaxMessage/4),
			Secret: v.Secret,
		})
	}
	return out
}

// ProcessFrom converts what to run.
func ProcessFrom(p *pb.ProcessSpec) plugin.ProcessSpec {
	out := plugin.ProcessSpec{Argv: p.GetArgv(), Cwd: p.GetCwd(), User: p.GetUser()}
	for _, v := range p.GetEnv() {
		out.Env = append(out.Env, plugin.EnvVar{Name: v.GetName(), Value: v.GetValue(), Secret: v.GetSecret()})
	}
	return out
}

// Exit converts how a process ended.
func Exit(e *plugin.Exit) *pb.Exit {
	if e == nil {
		return nil
	}
	return &pb.Exit{
		Code: int32(e.Code), Signal: Text(e.Signal, 64), At: Timestamp(e.At), Durable: e.Durable, //nolint:gosec // small
		Known: e.Known,
		Core:  e.Core,
	}
}

// ExitFrom converts how a process ended.
func ExitFrom(e *pb.Exit) *plugin.Exit {
	if e == nil {
		return nil
	}
	return &plugin.Exit{
		Code: int(e.GetCode()), Signal: Text(e.GetSignal(), 64), At: Time(e.GetAt()), Durable: e.GetDurable(),
		Known: e.GetKnown(),
		Core:  e.GetCore(),
	}
}

// ExitValue is ExitFrom for answers that always have an exit; the zero Exit when it is absent.
func ExitValue(e *pb.Exit) plugin.Exit {
	if x := ExitFrom(e); x != nil {
		return *x
	}
	return plugin.Exit{}
}

// Line converts a line of output.
func Line(l plugin.Line) *pb.Line {
	return &pb.Line{
		Cursor: l.Cursor, Time: Timestamp(l.Time), Stream: pb.Stream(l.Stream), //nolint:gosec // a small enum
		Text:      Text(l.Text, MaxLine),
		Truncated: l.Truncated || len(l.Text) > MaxLine, Partial: l.Partial,
	}
}

// LineFrom converts a line of output.
func LineFrom(l *pb.Line) plugin.Line {
	return plugin.Line{
		Cursor: l.GetCursor(), Time: Time(l.GetTime()), Stream: streamFrom(l.GetStream()),
		Text:      Text(l.GetText(), MaxLine),
		Truncated: l.GetTruncated() || len(l.GetText()) > MaxLine, Partial: l.GetPartial(),
	}
}

// streamFrom converts a stream; one that is neither output is the zero Stream, "unknown".
func streamFrom(s pb.Stream) plugin.Stream {
	if s != pb.Stream_STREAM_STDOUT && s != pb.Stream_STREAM_STDERR {
		return 0
	}
	return plugin.Stream(s)
}

// Lines converts many.
func Lines(in []plugin.Line) []*pb.Line {
	out := make([]*pb.Line, 0, len(in))
	for _, l := range in {
		out = append(out, Line(l))
	}
	return out
}

// LinesFrom is the other way.
func LinesFrom(in []*pb.Line) []plugin.Line {
	if len(in) == 0 {
		return nil
	}
	out := make([]plugin.Line, 0, len(in))
	for _, l := range in {
		out = append(out, LineFrom(l))
	}
	return out
}
