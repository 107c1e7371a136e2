package shared_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared"
)

func TestSDKIsTheSourceWithoutTestsAndTheHostsOwn(t *testing.T) {
	files, err := shared.SDK()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		want, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(data, want) {
			t.Errorf("%s is not the file of this name: %v", name, err)
		}
		for _, no := range []string{
			"_test.go", "shared/control/", "shared/gatewaytest/", "shared/shim/server/",
			"shared/internal/wiretest/", "shared/sdk.go",
		} {
			if strings.Contains(name, no) {
				t.Errorf("%s is of no use to an author", name)
			}
		}
	}
	for _, name := range []string{
		"LICENSE", "shared/pluginkit/kit.go", "shared/doctor/author.go",
		"shared/shimlauncher/launcher.go", "shared/pluginkit/plugintest/plugintest.go",
	} {
		if files[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestSDKImportsNothingOfOursThatItHasNot: otherwise no new project builds.
func TestSDKImportsNothingOfOursThatItHasNot(t *testing.T) {
	files, err := shared.SDK()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]bool{}
	for name := range files {
		packages["github.com/gatehost/gatehost/"+path.Dir(name)] = true
	}
	for name, text := range files {
		if path.Ext(name) != ".go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			if imp, err := strconv.Unquote(spec.Path.Value); err != nil ||
				strings.HasPrefix(imp, "github.com/gatehost/") && !packages[imp] {
				t.Errorf("%s imports %s, which is not embedded: add it to the embed lines of shared/sdk.go", name, imp)
			}
		}
	}
}

func TestProtosAreTheContractByItsImportPaths(t *testing.T) {
	files, err := shared.Protos()
	if err != nil {
		t.Fatal(err)
	}
	on, err := filepath.Glob("proto/gatehost/plugin/v1alpha1/*.proto")
	if err != nil || len(files) != len(on) {
		t.Errorf("%d files, %d on disk, %v", len(files), len(on), err)
	}
	for name, data := range files {
		if want, err := os.ReadFile(filepath.Join("proto", filepath.FromSlash(name))); err != nil ||
			!bytes.Equal(data, want) {
			t.Errorf("%s is not the file of this name: %v", name, err)
		}
	}
}
