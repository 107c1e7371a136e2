package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const example = "../../../config.toml.example"

// TestExampleIsTheDefaults: what the example says is what holds without it.
func TestExampleIsTheDefaults(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(example, data)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	got.Path, got.where = "", nil
	for _, g := range got.Gateways {
		g.Unload = nil // [] in the example
	}
	if !reflect.DeepEqual(got, want) {
		gotText, _ := got.TOML()
		wantText, _ := want.TOML()
		t.Errorf("the example gives:\n%s\nthe defaults are:\n%s", gotText, wantText)
	}
}

// TestExampleHasEveryKey: also those without a default, and those behind "# " can be taken as they are.
func TestExampleHasEveryKey(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^# ([a-z_0-9]+ = )`).ReplaceAllString(string(data), "$1")
	c, err := Parse(filepath.Join(t.TempDir(), "config.toml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for k := range c.where {
		parts := strings.Split(k, "\x00")
		if len(parts) > 2 && (parts[0] == "plugins" || parts[0] == "gateways") {
			parts[1] = "*"
		}
		have[strings.Join(parts, ".")] = true
	}
	have["gateways.*.token.env"] = strings.Contains(text, `{env = "NAME"}`)
	have["gateways.*.token.file"] = strings.Contains(text, `{file = "PATH"}`)
	for _, k := range keys() {
		if !have[k] {
			t.Errorf("%s is not in the example", k)
		}
	}
}

// TestEveryTagIsReadable reads all tags, since a bad one panics where it is used.
func TestEveryTagIsReadable(t *testing.T) {
	var text strings.Builder
	for _, k := range keys() {
		k = strings.Replace(k, "plugins.*", "plugins.doctor", 1)
		k = strings.Replace(k, "gateways.*", "gateways.main", 1)
		if !strings.Contains(k, "hooks") {
			text.WriteString(k + " = \"0s\"\n")
		}
	}
	if _, err := Parse("config.toml", []byte(text.String())); err == nil {
		t.Error("no faults")
	}
	if _, err := Parse("config.toml", []byte(strings.ReplaceAll(text.String(), `"0s"`, "0"))); err == nil {
		t.Error("no faults")
	}
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(
		[]byte("[plugins.doctor.config]\na = [[{b = 1979-05-27}], '''x''']\n[[gateways.main.launch.hooks]]\n" +
			"command=['a']\n"))
	f.Add([]byte("[gateways.\"a b\"]\nport = 1\nlaunch.env.\"X=\" = 1\n\"\\u0000\" = 2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("config.toml", data)
		if err != nil {
			for _, fault := range err.(Faults) { //nolint:errorlint,forcetypeassert // the promise under test
				if fault.Message == "" || fault.Line < 0 {
					t.Errorf("fault = %+v", fault)
				}
			}
			return
		}
		text, err := c.TOML()
		if err != nil {
			t.Fatalf("cannot show what was read: %v", err)
		}
		if _, err := Parse("config.toml", []byte(text)); err != nil {
			t.Errorf("what is shown does not read back: %v\n%s", err, text)
		}
	})
}

// keys lists every key that exists, with * for names, in the order of the structs.
func keys() []string {
	var out []string
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for f := range t.Fields() {
			name := f.Tag.Get("toml")
			if name == "" {
				continue
			}
			key := prefix + name
			switch ft := f.Type; {
			case ft.Kind() == reflect.Struct:
				walk(ft, key+".")
			case ft.Kind() == reflect.Map && ft.Elem().Kind() == reflect.Pointer:
				walk(ft.Elem().Elem(), key+".*.")
			case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
				walk(ft.Elem(), key+"."+strconv.Itoa(0)+".")
			default:
				out = append(out, key)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return slices.Clip(out)
}
