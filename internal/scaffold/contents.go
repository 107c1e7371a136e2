package scaffold

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"text/template"

	"github.com/gatehost/gatehost/shared"
)

//go:embed templates
var templates embed.FS

// file is one file of a project.
type file struct {
	data       []byte
	executable bool
}

// contents are the files of a project by their slash-separated paths.
func contents(d data) (map[string]file, error) {
	out := map[string]file{}
	for _, set := range []string{"common", string(d.Kind)} {
		if err := render(path.Join("templates", d.Lang, set), d, out); err != nil {
			return nil, err
		}
	}
	switch d.Lang {
	case Go:
		return out, withSDK(d, out)
	case Python:
		text, err := descriptors()
		if err != nil {
			return nil, err
		}
		out["gatehost.binpb"] = file{data: text}
	}
	return out, withProtos(out)
}

// withProtos adds the contract.
func withProtos(out map[string]file) error {
	protos, err := shared.Protos()
	if err != nil {
		return err
	}
	for name, text := range protos {
		out["proto/"+name] = file{data: text}
	}
	return nil
}

// withSDK adds the source of this module with its go.mod and go.sum, or removes what only that needs.
func withSDK(d data, out map[string]file) error {
	if d.Release != "" {
		for _, name := range []string{"go.sum", "sdk/go.mod", "sdk/go.sum"} { // `go mod tidy` writes the sums
			delete(out, name)
		}
		return nil
	}
	source, err := shared.SDK()
	if err != nil {
		return err
	}
	for name, text := range source {
		out["sdk/"+name] = file{data: text}
	}
	return nil
}

// render adds the files of one set of templates.
func render(root string, d data, out map[string]file) error {
	err := fs.WalkDir(templates, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		// {% and not {{, which is Go, too.
		t, err := template.New(name).Delims("{%", "%}").Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, d); err != nil {
			return err
		}
		target := strings.TrimSuffix(strings.TrimPrefix(name, root+"/"), ".tmpl")
		if path.Base(target) == "gitignore" { // embed takes no hidden files
			target = path.Join(path.Dir(target), ".gitignore")
		}
		out[target] = file{data: b.Bytes(), executable: bytes.HasPrefix(b.Bytes(), []byte("#!"))}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot make a project: %w", err)
	}
	return nil
}
