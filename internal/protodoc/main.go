// Command protodoc is a plugin of buf that writes docs/plugin-reference.md from the contract: services, methods with
// their row of the table of deadlines, messages, fields and enums, each with its comment. `make proto` runs it, `make
// proto-check` fails when the page is stale.
package main

import (
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/pluginpb"
)

// page is the file that it writes, below the directory that buf.gen.yaml names.
const page = "plugin-reference.md"

func main() { protogen.Options{}.Run(generate) }

func generate(g *protogen.Plugin) error {
	g.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
	c, err := collect(g.Files)
	if err != nil {
		return err
	}
	_, err = g.NewGeneratedFile(page, "").Write([]byte(render(c)))
	return err
}
