package scaffold

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// descriptors returns the contract as a binary FileDescriptorSet, each file after those that it imports: for
// languages whose generated code needs one version of protobuf. It is made of the descriptors that gatehost's own
// code was generated from, which proto-check holds equal to the proto files.
func descriptors() ([]byte, error) {
	var set descriptorpb.FileDescriptorSet
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	for _, f := range []protoreflect.FileDescriptor{
		pb.File_gatehost_plugin_v1alpha1_base_proto, pb.File_gatehost_plugin_v1alpha1_doctor_proto,
		pb.File_gatehost_plugin_v1alpha1_unloader_proto,
	} {
		add(f)
	}
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(&set)
	if err != nil {
		return nil, fmt.Errorf("cannot describe the contract: %w", err)
	}
	return out, nil
}
