package wire_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/shared/internal/wire"
	"github.com/gatehost/gatehost/shared/internal/wiretest"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestEveryFieldOfAnExitCrossesTheBoundary both ways: a field that only one side has shows, too.
func TestEveryFieldOfAnExitCrossesTheBoundary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := wiretest.Draw[plugin.Exit](t, nil)
		wiretest.Same(t, "an exit", wire.ExitFrom(wire.Exit(&want)), &want)
	})
	full := &pb.Exit{}
	fields := full.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); f.Kind() {
		case protoreflect.BoolKind:
			full.ProtoReflect().Set(f, protoreflect.ValueOfBool(true))
		case protoreflect.Int32Kind:
			full.ProtoReflect().Set(f, protoreflect.ValueOfInt32(7))
		case protoreflect.StringKind:
			full.ProtoReflect().Set(f, protoreflect.ValueOfString("SIGABRT"))
		case protoreflect.MessageKind:
			full.ProtoReflect().Set(f, protoreflect.ValueOfMessage((&timestamppb.Timestamp{Seconds: 7}).ProtoReflect()))
		default:
			t.Fatalf("the field %s of an exit has a kind that this test does not set", f.Name())
		}
	}
	if got := wire.Exit(wire.ExitFrom(full)); !proto.Equal(got, full) {
		t.Errorf("an exit changed on its way:\n got %v\nwant %v", got, full)
	}
	if wire.ExitFrom(nil) != nil || wire.Exit(nil) != nil || wire.ExitValue(nil) != (plugin.Exit{}) {
		t.Error("no exit became one")
	}
}

// TestSymptomsAreThoseOfTheContract: the numbers, and the words, which status and logs show.
func TestSymptomsAreThoseOfTheContract(t *testing.T) {
	for number, name := range pb.Symptom_name {
		word := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "SYMPTOM_"), "_", "-"))
		if number == 0 {
			word = "none"
		}
		s := plugin.Symptom(number)
		if s.String() != word || wire.Symptom(s) != pb.Symptom(number) || wire.SymptomFrom(pb.Symptom(number)) != s {
			t.Errorf("%s is %q in Go, want %q, and the same number both ways", name, s, word)
		}
	}
	next := plugin.Symptom(len(pb.Symptom_name))
	if next.String() != "unknown" {
		t.Errorf("the symptom %q is not in the contract", next)
	}
	for _, s := range []plugin.Symptom{-1, next, 1<<32 + 1} {
		if wire.Symptom(s) != pb.Symptom_SYMPTOM_UNSPECIFIED || s != 1<<32+1 &&
			wire.SymptomFrom(pb.Symptom(s)) != plugin.NoSymptom {
			t.Errorf("symptom %d is taken for one of the contract", s)
		}
	}
}
