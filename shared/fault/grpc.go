package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// Bounds of what an error may carry across the boundary, in bytes and entries: an error is not a data channel.
const (
	maxMessage = 16 << 10
	maxHint    = 4 << 10
	maxDetails = 32
)

// grpcCodes maps codes to the nearest gRPC code, for programs that do not know FaultDetail.
var grpcCodes = map[Code]codes.Code{
	NotFound: codes.NotFound, AlreadyExists: codes.AlreadyExists, InvalidArgument: codes.InvalidArgument,
	FailedPrecondition: codes.FailedPrecondition, PermissionDenied: codes.PermissionDenied,
	Unsupported: codes.Unimplemented,
	Unavailable: codes.Unavailable, DeadlineExceeded: codes.DeadlineExceeded, Cancelled: codes.Canceled,
	Exhausted: codes.ResourceExhausted, Conflict: codes.Aborted, Internal: codes.Internal,
	PluginGone: codes.Unavailable, PluginDown: codes.Unavailable,
}

// ToStatus turns an error of an implementation into one that crosses the boundary. nil stays nil.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	f, ok := errors.AsType[*Error](err)
	if !ok {
		f = plain(err)
	}
	code, ok := grpcCodes[f.Code]
	if !ok {
		code = codes.Unknown
	}
	detail := &pb.FaultDetail{
		Code: string(f.Code), Message: cut(err.Error(), maxMessage), Hint: cut(HintOf(err), maxHint),
		Retryable: f.Retryable,
		Details:   map[string]string{},
	}
	if f.RetryAfter > 0 {
		detail.RetryAfter = durationpb.New(f.RetryAfter)
	}
	for k, v := range f.Details {
		if len(detail.Details) < maxDetails {
			detail.Details[cut(k, 256)] = cut(v, maxHint)
		}
	}
	s := status.New(code, detail.Message)
	if with, err := s.WithDetails(detail); err == nil {
		s = with
	}
	return s.Err()
}

// plain gives a code to an error that is no fault: an implementation may return gRPC statuses, or its context's error.
func plain(err error) *Error {
	s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err)
	if !ok {
		return &Error{Code: codeOfPlain(err)}
	}
	f := fromCode(s.GRPCStatus())
	if f.Code == PluginGone { // only a connection says that, not an implementation
		f.Code = Unavailable
	}
	return f
}

// codeOfPlain returns the nearest code for an error without one.
func codeOfPlain(err error) Code {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Cancelled
	default:
		return Internal
	}
}

// FromStatus turns what came across the boundary into an error again. A connection that broke is PluginGone. nil and
// io.EOF are returned unchanged; errors.Is finds context.Canceled and context.DeadlineExceeded.
func FromStatus(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return &Error{Code: codeOfPlain(err), Cause: err}
	}
	for _, d := range s.Details() {
		if detail, ok := d.(*pb.FaultDetail); ok {
			return fromDetail(detail)
		}
	}
	return fromCode(s)
}

func fromDetail(d *pb.FaultDetail) error {
	f := &Error{
		Code: Code(cut(d.GetCode(), 64)), Message: cut(d.GetMessage(), maxMessage), Hint: cut(d.GetHint(), maxHint),
		Retryable: d.GetRetryable(),
	}
	_, known := grpcCodes[f.Code]
	switch {
	case !known:
		f.Code = Internal
	// only this side can know that; a plugin that answers is neither gone nor down
	case f.Code == PluginGone || f.Code == PluginDown:
		f.Code = Unavailable
	case f.Code == Cancelled:
		f.because(context.Canceled)
	case f.Code == DeadlineExceeded:
		f.because(context.DeadlineExceeded)
	}
	if after := d.GetRetryAfter(); after.IsValid() && after.AsDuration() > 0 {
		f.RetryAfter = after.AsDuration()
	}
	for k, v := range d.GetDetails() {
		if f.Details == nil {
			f.Details = map[string]string{}
		}
		if len(f.Details) < maxDetails {
			f.Details[cut(k, 256)] = cut(v, maxHint)
		}
	}
	return f
}

// because sets the cause and removes its text from the message, because Error adds it again.
func (e *Error) because(cause error) {
	e.Cause = cause
	if e.Message == cause.Error() {
		e.Message = ""
	} else {
		e.Message = strings.TrimSuffix(e.Message, ": "+cause.Error())
	}
}

func fromCode(s *status.Status) *Error {
	f := &Error{Message: cut(s.Message(), maxMessage)}
	switch s.Code() {
	case codes.Canceled:
		f.Code, f.Cause, f.Message = Cancelled, context.Canceled, "the call was cancelled"
	case codes.DeadlineExceeded:
		f.Code, f.Cause, f.Message = DeadlineExceeded, context.DeadlineExceeded, "no answer in time"
	case codes.Unavailable:
		f.Code, f.Retryable, f.Message = PluginGone, true, "the plugin ended during the call"
	case codes.Unimplemented:
		f.Code = Unsupported
	default:
		f.Code = Internal
		for code, g := range grpcCodes {
			if g == s.Code() && code != PluginGone && code != PluginDown && code != Unavailable {
				f.Code = code
			}
		}
	}
	return f
}

// Recovered turns a panic of an implementation into an error; use it in a deferred call.
func Recovered(r any) error {
	return New(Internal, fmt.Sprintf("bug: panic: %v", r))
}

// cut bounds a text in bytes, at the end of a character, and keeps it valid UTF-8: protobuf sends nothing else.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s[:min(len(s), limit+utf8.UTFMax)], "\uFFFD")
	for len(s) > limit {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
