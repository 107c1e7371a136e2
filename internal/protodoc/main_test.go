package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// contractFile is one file with a service of one method, and comments at the paths where protoc puts them.
func contractFile(about string) *descriptorpb.FileDescriptorProto {
	note := func(text string, path ...int32) *descriptorpb.SourceCodeInfo_Location {
		return &descriptorpb.SourceCodeInfo_Location{Path: path, Span: []int32{1, 0, 1}, LeadingComments: new(text)}
	}
	text := descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	one := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	return &descriptorpb.FileDescriptorProto{
		Name: new("x/v1/a.proto"), Package: new("x.v1"), Syntax: new("proto3"),
		Options: &descriptorpb.FileOptions{GoPackage: new("example.org/x;x")},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: new("Ask"),
			Field: []*descriptorpb.FieldDescriptorProto{
				{Name: new("path"), Number: new(int32(1)), Type: text, Label: one, OneofIndex: new(int32(0))},
				{
					Name: new("how_many"), Number: new(int32(3)), Type: text,
					Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(),
				},
			},
			OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: new("want")}},
		}},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: new("ThingService"),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: new("Do"), InputType: new(".x.v1.Ask"), OutputType: new(".x.v1.Ask"), ServerStreaming: new(true),
			}},
		}},
		SourceCodeInfo: &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
			note(about, 2), note(" Do does it\n at once.\n Errors: none <yet>.\n", 6, 0, 2, 0),
			note(" A path, or a|b; see `a|b`.\n", 4, 0, 2, 0),
		}},
	}
}

const goodTable = " What it is.\n\n   method    deadline   idempotent   concurrent calls   a miss means\n" +
	"   Thing.Do  10 s       yes          yes                fail\n\n And more.\n\n   kind  version\n   thing 1\n"

func generated(t *testing.T, files ...*descriptorpb.FileDescriptorProto) (string, error) {
	t.Helper()
	req := &pluginpb.CodeGeneratorRequest{ProtoFile: files}
	for _, f := range files {
		req.FileToGenerate = append(req.FileToGenerate, f.GetName())
	}
	g, err := protogen.Options{}.New(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := generate(g); err != nil {
		return "", err
	}
	made := g.Response().GetFile()
	if len(made) != 1 || made[0].GetName() != "plugin-reference.md" {
		t.Fatalf("files = %v", made)
	}
	return made[0].GetContent(), nil
}

func TestPageHasEachThingWithItsComment(t *testing.T) {
	got, err := generated(t, contractFile(goodTable))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| method | deadline | idempotent | concurrent calls | a miss means |\n|---|---|---|---|---|\n" +
			"| Thing.Do | 10 s | yes | yes | fail |\n",
		"#### Thing.Do\n\nDo does it at once.\n\nErrors: none &lt;yet&gt;.\n\n" +
			"[Ask](#v1.ask) → stream of [Ask](#v1.ask)\n",
		"| deadline | idempotent | concurrent calls | a miss means |\n|---|---|---|---|\n| 10 s | yes | yes | fail |\n",
		"| `path` | 1 | string | One of `want`. A path, or a\\|b; see `a|b`. |\n",
		"| `how_many` | 3 | repeated string |  |\n",
		"What it is.\n\n", "And more.\n\n", "```text\n  kind  version\n  thing 1\n```\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
}

// TestLaterVersionHasThePromisesOfTheEarlier: the table stands once, in the first version.
func TestLaterVersionHasThePromisesOfTheEarlier(t *testing.T) {
	first, second := contractFile(goodTable), contractFile(" Experimental.\n")
	second.Name, second.Package = new("x/v2/a.proto"), new("x.v2")
	second.Service[0].Method[0].InputType, second.Service[0].Method[0].OutputType = new(".x.v2.Ask"), new(".x.v2.Ask")
	got, err := generated(t, second, first)
	if err != nil || strings.Count(got, "| 10 s | yes | yes | fail |") != 3 ||
		!strings.Contains(got, "[ThingService](#v1.thingservice), v1\n- [ThingService](#v2.thingservice), v2\n") {
		t.Errorf("page:\n%s\n%v", got, err)
	}
}

func TestContractWithoutAPromiseIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ about, want string }{
		"a method without a row": {" No table.\n", "no row for Thing.Do"},
		"a row without a method": {strings.Replace(goodTable, "\n\n And",
			"\n   Thing.Undo  1 s  yes  yes  fail\n\n And", 1), "no service has: Thing.Undo"},
		"two rows": {strings.Replace(goodTable, "\n\n And",
			"\n   Thing.Do  1 s  yes  yes  fail\n\n And", 1), "two rows for Thing.Do"},
		"a row with a hole": {strings.Replace(goodTable, "10 s", "    ", 1), "has 4 columns, want 5"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := generated(t, contractFile(c.about)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one that says %q", err, c.want)
			}
		})
	}
}

// TestReferenceNamesWholeContract needs no tools: what proto-check would find, as far as names go.
func TestReferenceNamesWholeContract(t *testing.T) {
	data, err := os.ReadFile("../../docs/plugin-reference.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, m := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		if n := strings.Count(text, fmt.Sprintf("<a id=%q></a>", m[1])); n != 1 {
			t.Errorf("a link leads to %q, which is there %d times", m[1], n)
		}
	}
	has := func(what string) {
		if !strings.Contains(text, what) {
			t.Errorf("docs/plugin-reference.md lacks %q: run make proto", what)
		}
	}
	for _, f := range []protoreflect.FileDescriptor{
		pb.File_gatehost_plugin_v1alpha1_base_proto, pb.File_gatehost_plugin_v1alpha1_doctor_proto,
		pb.File_gatehost_plugin_v1alpha1_launcher_proto,
		pb.File_gatehost_plugin_v1alpha1_unloader_proto, pb.File_gatehost_plugin_v1alpha1_classifier_proto,
	} {
		d := protodesc.ToFileDescriptorProto(f)
		for _, s := range d.GetService() {
			for _, m := range s.GetMethod() {
				has("#### " + strings.TrimSuffix(s.GetName(), "Service") + "." + m.GetName() + "\n")
			}
		}
		for _, m := range d.GetMessageType() {
			has("#### " + m.GetName() + "\n")
			for _, field := range m.GetField() {
				has("| `" + field.GetName() + "` | ")
			}
		}
		for _, e := range d.GetEnumType() {
			for _, v := range e.GetValue() {
				has("| `" + v.GetName() + "` | ")
			}
		}
	}
}

func TestParagraphsAreWrapped(t *testing.T) {
	word := strings.Repeat("x", 50)
	for _, row := range []struct{ name, text, want string }{
		{"what fits stays", word + "  " + word, word + " " + word},
		{"what does not fit goes on in the next line", word + " " + word + " " + word, word + " " + word + "\n" + word},
		{"the mark of a list begins no line", word + " " + word + " " + word[:18] + " - y", word + " " + word + "\n" +
			word[:18] + " - y"},
	} {
		if got := wrapped(row.text); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
