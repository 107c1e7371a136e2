package gatewayconfig_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/internal/json5"
)

// beside writes files next to the gateway's configuration.
func (g *gateway) beside(files map[string]string) {
	g.t.Helper()
	for name, text := range files {
		path := filepath.Join(filepath.Dir(g.path), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			g.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
}

func TestIncludedFilesAreReadAsTheGatewayReadsThem(t *testing.T) {
	g, e := newGateway(t, offline, `{$include: ['./a.json5', 'sub/b.json'], logging: {level: 'info'}, list: [3]}`)
	g.beside(map[string]string{
		"a.json5":    `{gateway: {port: 1, bind: 'loopback'}, list: [1]}`,
		"sub/b.json": `{"gateway": {"port": 2, "auth": {"$include": "c.json"}}, "list": [2]}`,
		"sub/c.json": `{"mode": "token"}`,
	})
	v, err := e.Get(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(v.Value)
	want := `{"gateway":{"auth":{"mode":"token"},"bind":"loopback","port":2},"list":[1,2,3],"logging":{"level":"info"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	dir := filepath.Dir(g.path)
	files := []string{filepath.Join(dir, "a.json5"), filepath.Join(dir, "sub/b.json"), filepath.Join(dir, "sub/c.json")}
	if !slices.Equal(v.Includes, files) || !slices.Equal(gatewayconfig.Includes(g.path, nil), files) {
		t.Errorf("includes %q", v.Includes)
	}
}

func TestIncludesThatTheGatewayRefusesAreErrors(t *testing.T) {
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "x.json"), []byte(`{"a": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		text, want string
		files      map[string]string
	}{
		"outside":    {`{$include: '../x.json'}`, "is outside of", nil},
		"absolute":   {`{$include: '` + other + `/x.json'}`, "is outside of", nil},
		"missing":    {`{$include: 'x.json'}`, "x.json", nil},
		"no path":    {`{$include: 1}`, "is not a path", nil},
		"circle":     {`{$include: 'x.json'}`, "includes itself", map[string]string{"x.json": `{$include: "x.json"}`}},
		"broken":     {`{$include: 'x.json'}`, "cannot understand", map[string]string{"x.json": "{"}},
		"not object": {`{$include: 'x.json', a: 1}`, "not an object", map[string]string{"x.json": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			g, e := newGateway(t, offline, row.text)
			g.beside(row.files)
			if _, err := e.Get(t.Context(), nil); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
	g, _ := newGateway(t, offline, `{$include: 'link.json'}`)
	if err := os.Symlink(filepath.Join(other, "x.json"), filepath.Join(filepath.Dir(g.path), "link.json")); err != nil {
		t.Fatal(err)
	}
	for roots, want := range map[string]bool{"": false, other: true} {
		e := gatewayconfig.New(gatewayconfig.Options{
			Gateway: g, Path: func() (string, error) { return g.path, nil }, Dir: t.TempDir(),
			Roots: func() []string { return []string{roots}[:min(len(roots), 1)] },
		})
		if _, err := e.Get(t.Context(), json5.Path{"a"}); (err == nil) != want {
			t.Errorf("a link to %s, roots %q: %v", other, roots, err)
		}
	}
}

// An edit of the file does what it says, or says in which file the value is.
func TestEditWhereFilesAreIncluded(t *testing.T) {
	const text = `{gateway: {$include: './gw.json'}, a: 1} // c`
	g, e := newGateway(t, offline, text)
	g.beside(map[string]string{"gw.json": `{"port": 1, "list": [1], "auth": {"token": "theirs"}}`})
	set(t, e, "gateway.port", 2)
	if got, want := g.read(), `{gateway: {$include: './gw.json', "port": 2}, a: 1} // c`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if r, err := e.Undo(t.Context(), gatewayconfig.How{}, false); err != nil || g.read() != text {
		t.Errorf("undo: %v, %+v, %s", err, r, g.read())
	}
	for name, m := range map[string]gatewayconfig.Mutator{
		"remove": gatewayconfig.Unset(json5.Path{"gateway", "port"}),
		"a list": gatewayconfig.Set(json5.Path{"gateway", "list"}, []any{5}),
		"patch":  gatewayconfig.Merge(map[string]any{"a": 2, "gateway": map[string]any{"auth": nil}}),
	} {
		r, err := e.Edit(t.Context(), gatewayconfig.How{}, m)
		if err == nil || !strings.Contains(err.Error(), "includes") || g.read() != text || len(r.Changes) > 0 {
			t.Errorf("%s: %v, %+v, the file is %s", name, err, r, g.read())
		}
	}
	set(t, e, "a", 3) // what is not included is edited as ever
	set(t, e, "gateway", map[string]any{"port": 5})
	if got := g.read(); !strings.Contains(got, "a: 3") || strings.Contains(got, "$include") {
		t.Errorf("an edit that replaces the include: %s", got)
	}
}
