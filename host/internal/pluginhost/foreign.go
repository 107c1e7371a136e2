package pluginhost

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/gatehost/gatehost/internal/redact"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// foreignTexts are the fields of answers that people read. They become printable and lose their secrets before anything
// in the host sees them. All other strings are for programs and stay exact: identities, paths, command lines. The
// output of a gateway, and what a classifier says about it, pass the output pipeline instead, which redacts by line.
var foreignTexts = map[protoreflect.FullName]bool{
	"gatehost.plugin.v1alpha1.BrokenBundle.reason":             true,
	"gatehost.plugin.v1alpha1.ConfigField.doc":                 true,
	"gatehost.plugin.v1alpha1.DescribeResponse.homepage":       true,
	"gatehost.plugin.v1alpha1.DescribeResponse.version":        true,
	"gatehost.plugin.v1alpha1.Diagnostic.hint":                 true,
	"gatehost.plugin.v1alpha1.Diagnostic.message":              true,
	"gatehost.plugin.v1alpha1.FaultDetail.details":             true,
	"gatehost.plugin.v1alpha1.FaultDetail.hint":                true,
	"gatehost.plugin.v1alpha1.FaultDetail.message":             true,
	"gatehost.plugin.v1alpha1.Finding.config_path":             true,
	"gatehost.plugin.v1alpha1.Finding.evidence":                true,
	"gatehost.plugin.v1alpha1.Finding.hint":                    true,
	"gatehost.plugin.v1alpha1.Finding.text":                    true,
	"gatehost.plugin.v1alpha1.PlatformService.disable_command": true,
	"gatehost.plugin.v1alpha1.PlatformService.reason":          true,
	"gatehost.plugin.v1alpha1.RepairPlan.title":                true,
	"gatehost.plugin.v1alpha1.RepairProgress.text":             true,
	"gatehost.plugin.v1alpha1.RepairResult.summary":            true,
	"gatehost.plugin.v1alpha1.Step.title":                      true,
	"gatehost.plugin.v1alpha1.VerifyResponse.hint":             true,
	"gatehost.plugin.v1alpha1.VerifyResponse.text":             true,
}

// cleanAnswers returns dial options by which every answer and every error of a plugin passes redact. It is the one
// entrance for what a plugin says by RPC; logs are the other one.
func cleanAnswers(known *redact.Known) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
			invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
		) error {
			err := invoke(ctx, method, req, reply, cc, opts...)
			return cleanAnswer(known.Redactor(), method, reply, err)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
			method string, open grpc.Streamer, opts ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			s, err := open(ctx, desc, cc, method, opts...)
			if err != nil {
				return nil, cleanAnswer(known.Redactor(), method, nil, err)
			}
			return &cleaned{s, known, method}, nil
		}),
	}
}

type cleaned struct {
	grpc.ClientStream

	known  *redact.Known
	method string
}

// RecvMsg receives the next answer.
func (c *cleaned) RecvMsg(m any) error {
	err := c.ClientStream.RecvMsg(m)
	return cleanAnswer(c.known.Redactor(), c.method, m, err)
}

// cleanAnswer changes the answer of a call, or returns the error without what must not be shown.
func cleanAnswer(r *redact.Redactor, method string, answer any, err error) error {
	if !strings.HasPrefix(method, ourServices) {
		return err
	}
	if err != nil {
		return cleanError(r, err)
	}
	switch answer := answer.(type) {
	case *pb.OutputResponse, *pb.ClassifyResponse: // see foreignTexts
	case proto.Message:
		cleanMessage(r, answer.ProtoReflect())
	}
	return nil
}

// cleanError cleans the message and the details of a status; other errors are the host's own.
func cleanError(r *redact.Redactor, err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	p := s.Proto()
	p.Message = r.Text(p.GetMessage())
	for i, packed := range p.GetDetails() {
		detail, err := packed.UnmarshalNew()
		if err != nil {
			continue // of an unknown type: no program reads it
		}
		cleanMessage(r, detail.ProtoReflect())
		if again, err := anypb.New(detail); err == nil {
			p.Details[i] = again
		}
	}
	return status.FromProto(p).Err()
}

// cleanMessage cleans the foreign texts of a message and of those inside it.
func cleanMessage(r *redact.Redactor, m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch text := foreignTexts[f.FullName()]; {
		case f.IsMap() && text:
			cleanMap(r, v.Map())
		case f.IsMap():
		case f.Kind() == protoreflect.MessageKind && f.IsList():
			for i := range v.List().Len() {
				cleanMessage(r, v.List().Get(i).Message())
			}
		case f.Kind() == protoreflect.MessageKind:
			cleanMessage(r, v.Message())
		case text && f.IsList():
			for i := range v.List().Len() {
				v.List().Set(i, cleanText(r, v.List().Get(i)))
			}
		case text:
			m.Set(f, cleanText(r, v))
		}
		return true
	})
}

// cleanMap cleans the values of a map of texts; a key that is not printable is dropped.
func cleanMap(r *redact.Redactor, m protoreflect.Map) {
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		if key := k.String(); r.Line(key) != key {
			m.Clear(k)
		} else {
			m.Set(k, cleanText(r, v))
		}
		return true
	})
}

func cleanText(r *redact.Redactor, v protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfString(r.Text(v.String()))
}
