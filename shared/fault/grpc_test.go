package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/shared/fault"
)

func across(err error) error { return fault.FromStatus(fault.ToStatus(err)) }

func TestFaultKeepsItsMeaningAcrossTheBoundary(t *testing.T) {
	kept := []fault.Code{
		fault.NotFound, fault.AlreadyExists, fault.InvalidArgument, fault.FailedPrecondition, fault.PermissionDenied,
		fault.Unsupported,
		fault.Unavailable, fault.Exhausted, fault.Conflict, fault.Internal, fault.Cancelled, fault.DeadlineExceeded,
	}
	rapid.Check(t, func(t *rapid.T) {
		in := &fault.Error{
			Code: rapid.SampledFrom(kept).Draw(t, "code"), Message: rapid.StringN(1, 200, -1).Draw(t, "message"),
			Hint: rapid.StringN(0, 200, -1).Draw(t, "hint"), Retryable: rapid.Bool().Draw(t, "retryable"),
			RetryAfter: time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "after")),
			Details:    rapid.MapOfN(rapid.StringN(1, 20, 64), rapid.StringN(0, 20, 64), 1, 8).Draw(t, "details"),
		}
		out, ok := errors.AsType[*fault.Error](across(fmt.Errorf("wrapped: %w", in)))
		if !ok || !errors.Is(out, &fault.Error{Code: in.Code}) {
			t.Fatalf("got %v", out)
		}
		if out.Hint != in.Hint || out.Retryable != in.Retryable || out.RetryAfter != in.RetryAfter ||
			!reflect.DeepEqual(out.Details, in.Details) {
			t.Fatalf("got %+v\nwant %+v", out, in)
		}
		if out.Cause == nil && out.Message != "wrapped: "+in.Message {
			t.Fatalf("message = %q", out.Message)
		}
	})
}

func TestContextErrorsAreStillFoundAcrossTheBoundary(t *testing.T) {
	for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
		for _, in := range []error{want, fmt.Errorf("cannot read: %w", want)} {
			got := across(in)
			if !errors.Is(got, want) || got.Error() != in.Error() {
				t.Errorf("across(%q) = %q, is %v: %v", in, got, want, errors.Is(got, want))
			}
		}
		if got := fault.FromStatus(status.FromContextError(want).Err()); !errors.Is(got, want) {
			t.Errorf("%v from gRPC itself = %v", want, got)
		}
	}
}

func TestBrokenConnectionIsPluginGone(t *testing.T) {
	got := fault.FromStatus(status.Error(codes.Unavailable, "error reading from server: EOF"))
	f, ok := errors.AsType[*fault.Error](got)
	if !ok || f.Code != fault.PluginGone || !f.Retryable {
		t.Errorf("got %+v", got)
	}
	if fault.FromStatus(nil) != nil || fault.ToStatus(nil) != nil || !errors.Is(fault.FromStatus(io.EOF), io.EOF) {
		t.Error("nil or io.EOF did not stay what it is")
	}
}

// An answer proves that the plugin lives, whatever the answer says.
func TestPluginCannotPretendToBeGone(t *testing.T) {
	for _, in := range []error{fault.ErrPluginGone, fault.ErrPluginDown, status.Error(codes.Unavailable, "busy")} {
		if got := across(in); !errors.Is(got, fault.ErrUnavailable) {
			t.Errorf("across(%v) = %v", in, fault.CodeOf(got))
		}
	}
}

func TestPlainStatusesOfForeignPluginsAreMapped(t *testing.T) {
	for in, want := range map[codes.Code]fault.Code{
		codes.NotFound: fault.NotFound, codes.PermissionDenied: fault.PermissionDenied,
		codes.Unimplemented:   fault.Unsupported,
		codes.InvalidArgument: fault.InvalidArgument, codes.ResourceExhausted: fault.Exhausted,
		codes.Aborted: fault.Conflict,
		codes.Unknown: fault.Internal, codes.DataLoss: fault.Internal,
	} {
		if got := fault.CodeOf(fault.FromStatus(status.Error(in, "x"))); got != want {
			t.Errorf("%v = %v, want %v", in, got, want)
		}
		if got := fault.CodeOf(across(status.Error(in, "x"))); got != want {
			t.Errorf("%v returned by an implementation = %v, want %v", in, got, want)
		}
	}
}

func TestUnknownCodeIsInternalAndSizesAreBounded(t *testing.T) {
	details := map[string]string{}
	for i := range 1000 {
		details[fmt.Sprint(i)] = strings.Repeat("d", 1<<16)
	}
	f, ok := errors.AsType[*fault.Error](across(&fault.Error{
		Code: "brand-new", Message: strings.Repeat("€", 1<<20), Hint: "\xff" + strings.Repeat("h", 1<<20),
		Details: details,
	}))
	if !ok || f.Code != fault.Internal {
		t.Fatalf("got %v", f)
	}
	if len(f.Message) > 16<<10 || len(f.Hint) > 4<<10 || len(f.Details) > 32 || !utf8.ValidString(f.Message) ||
		!utf8.ValidString(f.Hint) {
		t.Errorf("sizes: %d %d %d", len(f.Message), len(f.Hint), len(f.Details))
	}
	if strings.ContainsRune(f.Message, utf8.RuneError) {
		t.Error("a character was cut in two")
	}
}
