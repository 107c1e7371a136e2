package gatewayconfig_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/shared/fault"
)

func TestMaskHidesSecretsAndNothingElse(t *testing.T) {
	object := func(pairs ...any) map[string]any {
		out := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i].(string)] = pairs[i+1]
		}
		return out
	}
	for name, row := range map[string]struct {
		path        string
		value, want any
	}{
		"a word":                       {"logging.level", "info", "info"},
		"a number":                     {"gateway.port", json.Number("18789"), json.Number("18789")},
		"a secret":                     {"gateway.auth.token", "sesame-1", placeholder},
		"a number that is one":         {"gateway.auth.password", json.Number("771177"), placeholder},
		"a count":                      {"agents.maxTokens", json.Number("4096"), json.Number("4096")},
		"a variable":                   {"gateway.auth.token", "${TOKEN}", "${TOKEN}"},
		"a name below a secret's name": {"channels.token.value", "sesame-1", placeholder},
		"a list of secrets":            {"channels.apiKey", []any{"sesame-1", nil}, []any{placeholder, nil}},
		"an object": {
			"channels", object("name", "x", "token", object("value", "sesame-1"), "port", json.Number("5")),
			object("name", "x", "token", object("value", placeholder), "port", json.Number("5")),
		},
		"a login": {"url", "https://me:pw@h/x", "https://" + placeholder + "@h/x"},
		"a path":  {"url", "https://h/x@y", "https://h/x@y"},
	} {
		if got := gatewayconfig.Mask(path(t, row.path), row.value); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %v at %s becomes %v, want %v", name, row.value, row.path, got, row.want)
		}
	}
}

func TestChangesShowWhatIsNoSecret(t *testing.T) {
	for _, p := range []gatewayconfig.Presence{online, offline} {
		_, e := newGateway(t, p, plain)
		got := set(t, e, "logging.level", "debug").Changes
		if len(got) != 1 || got[0].Before != "info" || got[0].After != "debug" || got[0].Added || got[0].Removed {
			t.Errorf("got %+v", got)
		}
		got = set(t, e, "gateway.auth.token", "another-secret-1").Changes
		if len(got) != 1 || got[0].Before != placeholder || got[0].After != placeholder {
			t.Errorf("got %+v", got)
		}
	}
}

const lists = `{
  a: [1, /* two */ 2, 3], // kept
  same: [1 /* one */],
  b: 5,
}
`

// TestElementsOfListsAreSetAddedAndRemoved: the rest of the text, and the comments in it, stay.
func TestElementsOfListsAreSetAddedAndRemoved(t *testing.T) {
	for name, row := range map[string]struct {
		edit gatewayconfig.Mutator
		old  string
		new  string // "" when the edit is refused
		want string // of the error
	}{
		"set":              {edit: gatewayconfig.Set(path(t, "a.0"), 7), old: "[1,", new: "[7,"},
		"add":              {edit: gatewayconfig.Set(path(t, "a.3"), 4), old: "3]", new: "3, 4]"},
		"remove the first": {edit: gatewayconfig.Unset(path(t, "a.0")), old: "[1, /*", new: "[ /*"},
		"remove the last":  {edit: gatewayconfig.Unset(path(t, "a.2")), old: "2, 3]", new: "2 ]"},
		"into an object": {
			edit: gatewayconfig.Set(path(t, "a.0"), map[string]any{"x": 1}),
			old:  "[1,", new: "[{\n    \"x\": 1\n  },",
		},
		"in the middle":      {edit: replaceList(1, 9, 2, 3), old: "2, 3", new: "9, 2, 3"},
		"several":            {edit: replaceList(8, 9, 3), old: "[1, /* two */ 2,", new: "[8, /* two */ 9,"},
		"fewer":              {edit: replaceList(1), old: ", /* two */ 2, 3", new: " /* two */ "},
		"fewer, and another": {edit: replaceList(9, 3), old: "[1, /* two */ 2, 3", new: "[9, /* two */ 3"},
		"add two":            {edit: replaceList(1, 2, 3, 4, 5), old: "3]", new: "3, 4, 5]"},
		"add an equal one": {
			edit: gatewayconfig.Set(path(t, "same.1"), 1), old: "[1 /* one */]", new: "[1, /* one */ 1]",
		},
		"after the end":          {edit: gatewayconfig.Set(path(t, "a.4"), 4), want: "cannot change a[4]: the list has 3"},
		"before the first":       {edit: gatewayconfig.Set(path(t, "a.-1"), 4), want: "the list has 3 elements"},
		"no position":            {edit: gatewayconfig.Set(path(t, "a.x"), 4), want: "the list has 3 elements"},
		"remove after the end":   {edit: gatewayconfig.Unset(path(t, "a.3")), want: "the list has 3 elements"},
		"below a number":         {edit: gatewayconfig.Set(path(t, "b.c"), 4), want: "cannot set b.c: b is neither"},
		"deep below a number":    {edit: gatewayconfig.Set(path(t, "b.c.d"), 4), want: "cannot set b.c.d: b is not an"},
		"deep below no position": {edit: gatewayconfig.Set(path(t, "a.7.d"), 4), want: "cannot set a[7].d: a is not an"},
		"deep below no number":   {edit: gatewayconfig.Set(path(t, "a.x.d"), 4), want: "cannot set a.x.d: a is not an"},
		"deep before the first":  {edit: gatewayconfig.Set(path(t, "a.-1.d"), 4), want: "cannot set a.-1.d: a is not"},
		"remove below a number":  {edit: gatewayconfig.Unset(path(t, "b.c")), old: "5", new: "5"},
		"remove below nothing":   {edit: gatewayconfig.Unset(path(t, "x.y.z")), old: "5", new: "5"},
		"remove a key":           {edit: gatewayconfig.Unset(path(t, "b")), old: "  b: 5,\n", new: "@"},
		"two keys": {
			edit: gatewayconfig.Merge(map[string]any{"c": 6, "d": 7}),
			old:  "5,\n", new: "5,\n  \"c\": 6,\n  \"d\": 7,\n",
		},
		"everything":                {edit: gatewayconfig.Set(nil, 4), want: "name a path"},
		"what is not JSON":          {edit: gatewayconfig.Set(path(t, "c"), func() {}), want: "a value is not JSON"},
		"what is not JSON, in list": {edit: gatewayconfig.Set(path(t, "c"), []any{func() {}}), want: "a value is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			g, e := newGateway(t, offline, lists)
			_, err := e.Edit(t.Context(), gatewayconfig.How{}, row.edit)
			want := lists
			if row.want == "" {
				want = strings.Replace(lists, row.old, strings.TrimPrefix(row.new, "@"), 1)
			}
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("error = %v, want %q", err, row.want)
			}
			if g.read() != want {
				t.Errorf("the file is\n%s\nwant\n%s", g.read(), want)
			}
		})
	}
}

func replaceList(values ...any) gatewayconfig.Mutator {
	return gatewayconfig.Set([]string{"a"}, values)
}

func TestElementsOfListsAreRead(t *testing.T) {
	_, e := newGateway(t, offline, lists)
	if v, err := e.Get(t.Context(), path(t, "a.2")); err != nil || v.Value != json.Number("3") {
		t.Errorf("%v, %v", v.Value, err)
	}
	for _, at := range []string{"a.3", "a.-1", "a.x", "b.0", "c"} {
		if v, err := e.Get(t.Context(), path(t, at)); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: %v, %v", at, v.Value, err)
		}
	}
}

// TestNumbersAreComparedByTheirValue: an equal number is no change, and one that a float64 cannot tell apart is.
func TestNumbersAreComparedByTheirValue(t *testing.T) {
	for _, row := range []struct {
		before string
		after  any
		same   bool
	}{
		{"1.0", 1, true},
		{"1e2", 100, true},
		{"1.5", 2.5, false},
		{"9007199254740993", json.Number("9007199254740992"), false},
		{"1e999", json.Number("2e999"), false},
		{"1.0", json.Number("2e999"), false},
		{"1e999", json.Number("1.0"), false},
		{"Infinity", math.Inf(1), true},
		{"NaN", math.NaN(), true},
		{"Infinity", 5, false},
		{"'5'", 5, false},
		{"[1]", map[string]any{}, false},
		{"{x: 1}", []any{1}, false},
	} {
		g, e := newGateway(t, offline, "{a: "+row.before+"}")
		r, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "a"), row.after))
		if err != nil || len(r.Changes) == 0 != row.same || (g.read() == "{a: "+row.before+"}") != row.same {
			t.Errorf("%s becomes %v: %v, %+v: the file is %s", row.before, row.after, err, r.Changes, g.read())
		}
	}
}

// TestWhatJSONDoesNotHaveIsNoNewValue: the gateway's file may have it, and no edit writes it.
func TestWhatJSONDoesNotHaveIsNoNewValue(t *testing.T) {
	for _, row := range []struct {
		before string
		after  float64
	}{{"Infinity", math.Inf(-1)}, {"NaN", math.Inf(1)}, {"Infinity", math.NaN()}, {"5", math.Inf(1)}} {
		g, e := newGateway(t, offline, "{a: "+row.before+"}")
		_, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "a"), row.after))
		if err == nil || !strings.Contains(err.Error(), "unsupported value") || g.read() != "{a: "+row.before+"}" {
			t.Errorf("%s becomes %v: %v: the file is %s", row.before, row.after, err, g.read())
		}
	}
}

const secrets = `{url: 'https://me:pw@h', keys: {apiKey: ['one-secret', 'two-secret', {source: 'env'}]}, n: 5}`

// TestSecretsAreKeptByWhatStandsForThem: each keeps its place; what stands for no secret is refused.
func TestSecretsAreKeptByWhatStandsForThem(t *testing.T) {
	for _, row := range []struct {
		at    string
		value any
		new   string // what the file has then instead of "n: 5"; "" when it is refused
	}{
		{"url", "https://" + placeholder + "@h", "n: 5"},
		{"url", "https://" + placeholder + "@other", ""},
		{"n", "https://" + placeholder + "@h", ""},
		{"n", placeholder, "n: 5"},
		{"x", placeholder, ""},
		{"keys.apiKey", []any{placeholder, placeholder, placeholder}, "n: 5"},
		{"keys.apiKey", []any{placeholder, placeholder, placeholder, placeholder}, ""},
		{"keys.apiKey", []any{placeholder, "x" + placeholder}, ""},
	} {
		g, e := newGateway(t, offline, secrets)
		r, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, row.at), row.value))
		if row.new == "" && fault.CodeOf(err) != fault.InvalidArgument || row.new != "" && err != nil ||
			g.read() != secrets || len(r.Changes) != 0 {
			t.Errorf("%s = %v: %v, %+v, the file is %s", row.at, row.value, err, r.Changes, g.read())
		}
	}
}

// TestNestedEditMayDropComments: each of the two may say it, and none of them does by default.
func TestNestedEditMayDropComments(t *testing.T) {
	for _, row := range []struct{ outer, inner, ok bool }{
		{true, false, true}, {false, true, true}, {false, false, false},
	} {
		g, e := newGateway(t, online, commented)
		_, err := e.Edit(t.Context(), gatewayconfig.How{DropComments: row.outer},
			func(ctx context.Context, _ map[string]any) error {
				_, err := e.Edit(ctx, gatewayconfig.How{DropComments: row.inner},
					gatewayconfig.Set(path(t, "logging.level"), "debug"))
				return err
			})
		if (err == nil) != row.ok || (g.read() != commented) != row.ok {
			t.Errorf("%+v: %v, the file is\n%s", row, err, g.read())
		}
	}
}

func TestWhatIsNoFileIsNotRead(t *testing.T) {
	for name, row := range map[string]struct {
		make func(path string) error
		want string
	}{
		"a directory":       {func(path string) error { return os.Mkdir(path, 0o700) }, "it is not a regular file"},
		"a link to nothing": {func(path string) error { return os.Symlink("gone", path) }, "it is a link to nothing"},
		"a link to itself":  {func(path string) error { return os.Symlink(path, path) }, "too many links"},
		"a large file": {func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 4<<20+1))
		}, "it is larger than 4194304 bytes"},
	} {
		g, e := newGateway(t, offline, "")
		if err := row.make(g.path); err != nil {
			t.Fatal(err)
		}
		_, err := e.Get(t.Context(), nil)
		if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fails answers the calls of config.get by errors, first to last, and then by itself.
type fails struct {
	*gateway
	errs []error
	then gatewayconfig.Presence // from the first error on
}

func (f *fails) Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	if method == "config.get" && len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		f.mu.Lock()
		f.presence = f.then
		f.mu.Unlock()
		return nil, err
	}
	return f.gateway.Call(ctx, method, params)
}

// TestAGatewayThatDoesNotAnswer: when it has gone the file is used, an answer of its own is the error, and any other
// error of a gateway that is there, too.
func TestAGatewayThatDoesNotAnswer(t *testing.T) {
	closed := errors.New("the connection was closed")
	for name, row := range map[string]struct {
		err  error
		then gatewayconfig.Presence
		by   string // "": it fails
		code fault.Code
	}{
		"it has stopped":           {err: closed, then: offline, by: gatewayconfig.ByFile},
		"its session was replaced": {err: gatewayconfig.ErrNoSession, then: online, by: gatewayconfig.ByGateway},
		"it is there":              {err: closed, then: online, code: fault.CodeOf(closed)},
		"it refuses and stops":     {err: &frame.Error{Code: "FORBIDDEN"}, then: offline, code: fault.FailedPrecondition},
		"it is not ready":          {err: &frame.Error{Code: "UNAVAILABLE"}, then: online, code: fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			g, _ := newGateway(t, online, plain)
			f := &fails{gateway: g, errs: []error{row.err}, then: row.then}
			e := gatewayconfig.New(gatewayconfig.Options{
				Gateway: f, Path: func() (string, error) { return g.path, nil },
				Dir: filepath.Join(t.TempDir(), "edits"), Wait: 10 * time.Second, Poll: 5 * time.Millisecond,
			})
			r, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "n"), 1))
			if r.By != row.by || row.by == "" && fault.CodeOf(err) != row.code || row.by != "" && err != nil {
				t.Errorf("edit: %v, %+v", err, r)
			}
			if row.by == "" && g.read() != plain {
				t.Errorf("it has written\n%s", g.read())
			}
			var shown *fault.Error
			if errors.As(err, &shown) && shown.Retryable != (row.code == fault.Unavailable) {
				t.Errorf("retryable: %t", shown.Retryable)
			}
			f.errs, g.presence = []error{row.err}, online
			v, err := e.Get(t.Context(), path(t, "logging.level"))
			switch {
			case row.by == "" && fault.CodeOf(err) != row.code, row.by != "" && (err != nil || v.Value != "info"),
				row.by != "" && v.By != gatewayconfig.ByFile:
				t.Errorf("get: %v, %+v", err, v)
			}
		})
	}
}

// TestAFileThatTheGatewaySeesAndTheHostDoesNot: its comments are known from the gateway's answer, and there is no copy,
// unless there was no file before.
func TestAFileThatTheGatewaySeesAndTheHostDoesNot(t *testing.T) {
	for name, row := range map[string]struct {
		elsewhere bool
		exists    bool
		raw       any
		ok, copy  bool
	}{
		"comments elsewhere":               {elsewhere: true, exists: true, raw: commented},
		"no comments elsewhere":            {elsewhere: true, exists: true, raw: plain, ok: true},
		"a text that is not told":          {elsewhere: true, exists: true, ok: true},
		"no file yet":                      {elsewhere: true, raw: "", ok: true, copy: true},
		"here the text of the file counts": {exists: true, raw: commented, ok: true, copy: true},
	} {
		t.Run(name, func(t *testing.T) {
			g, e := newGateway(t, online, plain)
			g.OnGet = func(_ int, payload map[string]any) {
				payload["raw"], payload["exists"] = row.raw, row.exists
				if row.elsewhere {
					payload["path"] = filepath.Join(filepath.Dir(g.path), "elsewhere.json")
				}
			}
			g.OnSet = func(_ int, persist func()) (bool, error) { persist(); return true, nil }
			r, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set(path(t, "n"), 1))
			if (err == nil) != row.ok || (r.Copy != "") != row.copy || !row.ok &&
				!strings.Contains(fault.HintOf(err), "--drop-comments") {
				t.Errorf("%v, %+v", err, r)
			}
			if based := strings.Contains(fmt.Sprintf("%s", g.sets), "baseHash"); row.ok && based != row.exists {
				t.Errorf("config.set had %s", g.sets)
			}
		})
	}
}

// TestAnEditThatFailsLeavesNoCopy, whichever way it was tried.
func TestAnEditThatFailsLeavesNoCopy(t *testing.T) {
	for _, p := range []gatewayconfig.Presence{online, offline} {
		g, e := newGateway(t, p, plain)
		g.OnSet = func(int, func()) (bool, error) { return true, &frame.Error{Code: "INVALID_REQUEST", Message: "no"} }
		_, err := e.Edit(t.Context(), gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
			if p == offline {
				g.write(fmt.Sprintf(`{"theirs": %q}`, time.Now()))
			}
			c["mine"] = true
			return nil
		})
		left, readErr := os.ReadDir(filepath.Join(filepath.Dir(g.path), "edits", "main"))
		if err == nil || readErr != nil || len(left) != 0 {
			t.Errorf("%v: %v, left behind: %v", err, readErr, left)
		}
	}
}

// TestUndoOfSeveralValuesSetsAllOfThemBack, also when the file cannot be restored as a whole.
func TestUndoOfSeveralValuesSetsAllOfThemBack(t *testing.T) {
	g, e := newGateway(t, offline, plain)
	_, err := e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Merge(map[string]any{
		"logging": map[string]any{"level": "debug"}, "gateway": map[string]any{"mode": "remote"}, "n": 1,
	}))
	if err != nil {
		t.Fatal(err)
	}
	g.write(strings.Replace(g.read(), "{", "{ \"theirs\": true,", 1))
	if _, err := e.Undo(t.Context(), gatewayconfig.How{}, false); err != nil || g.at("logging.level") != "info" ||
		g.at("gateway.mode") != "local" || g.at("n") != nil || g.at("theirs") != true {
		t.Errorf("%v: the file is\n%s", err, g.read())
	}
	// a value that cannot be set back is an error, also when it is forced
	set(t, e, "logging.level", "debug")
	g.write(strings.Replace(g.read(), "\"logging\": {\n    \"level\": \"debug\"\n  }", `"logging": 5`, 1))
	if _, err := e.Undo(t.Context(), gatewayconfig.How{}, true); err == nil || g.at("logging") != json.Number("5") {
		t.Errorf("%v: the file is\n%s", err, g.read())
	}
}

// TestALostAnswerIsProvenByTheValuesOfTheFile compares what the file has with what was wanted.
func TestALostAnswerIsProvenByTheValuesOfTheFile(t *testing.T) {
	secret := map[string]any{"source": "env"}
	for name, row := range map[string]struct {
		wanted, written any
		settled         bool
	}{
		"the same word":              {"a", "a", true},
		"another word":               {"a", "b", false},
		"a number for a word":        {"a", 5, false},
		"a secret":                   {placeholder, "sesame-1", true},
		"a reference to a secret":    {placeholder, secret, true},
		"null for a secret":          {placeholder, nil, false},
		"a list":                     {[]any{"a", placeholder}, []any{"a", "sesame-1"}, true},
		"another list":               {[]any{"a", placeholder}, []any{"b", "sesame-1"}, false},
		"an object for a list":       {[]any{"a"}, map[string]any{"0": "a"}, false},
		"an object for an empty one": {[]any{}, map[string]any{}, false},
		"an object":                  {map[string]any{"a": placeholder}, map[string]any{"a": "sesame-1"}, true},
		"another object":             {map[string]any{"a": placeholder}, map[string]any{"b": "sesame-1"}, false},
		"a list for an empty object": {map[string]any{}, []any{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g, e := newGateway(t, online, plain)
			g.OnSet = func(int, func()) (bool, error) {
				text, err := json.Marshal(map[string]any{"n": row.written})
				if err != nil {
					t.Error(err)
				}
				g.write(string(text))
				return true, errors.New("the connection was closed")
			}
			r, err := e.Edit(t.Context(), gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
				c["n"] = row.wanted
				return nil
			})
			if r.Settled != row.settled || (err == nil) != row.settled {
				t.Errorf("%v, %+v", err, r)
			}
		})
	}
}
