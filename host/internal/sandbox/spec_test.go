package sandbox

import (
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestSpecComesThroughTheCommandLine(t *testing.T) {
	want := Spec{
		Read: []string{"/a b", "/c\"d"}, Write: []string{"/e"}, Network: true, OpenFiles: 77, FileSize: 88, Memory: 99,
		Mark: 1<<63 - 1,
	}
	args, err := want.Args("/bin/plugin", []string{"--flag", "--", "x"})
	if err != nil || args[0] != Verb {
		t.Fatalf("args = %q, %v", args, err)
	}
	got, argv, err := parse(args[1:])
	if err != nil || !reflect.DeepEqual(got, want) || strings.Join(argv, " ") != "/bin/plugin --flag -- x" {
		t.Errorf("spec = %+v, argv %q, %v", got, argv, err)
	}
	got, _, err = parse([]string{"{}", "--", "p"})
	if err != nil || got.OpenFiles != DefaultOpenFiles || got.FileSize != DefaultFileSize || got.Memory != DefaultMemory {
		t.Errorf("defaults = %+v, %v", got, err)
	}
}

func TestWhatIsNotUnderstoodShutsNothingIn(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"{}"},
		{"{}", "p", "--"},
		{"{", "--", "p"},
		{`{"later":true}`, "--", "p"},
		{`{"read":"x"}`, "--", "p"},
	} {
		if _, _, err := parse(args); err == nil {
			t.Errorf("%q is taken", args)
		}
		if err := Exec(args); err == nil {
			t.Errorf("%q is executed", args)
		}
	}
	if _, err := (Spec{Write: []string{"here"}}).Args("p", nil); err == nil {
		t.Error("a relative path is taken")
	}
}

func TestSpecThatNoCommandLineTakesIsToldInWords(t *testing.T) {
	long := "/" + strings.Repeat("x", 4000)
	fits, tooMany := Spec{Read: slices.Repeat([]string{long}, 32)}, Spec{Read: slices.Repeat([]string{long}, 33)}
	args, err := fits.Args("p", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tooMany.Args("p", nil); err == nil || !strings.Contains(err.Error(), "list directories in [files]") {
		t.Errorf("error = %v", err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if err := exec.Command("true", args...).Run(); err != nil { //nolint:gosec // what the kernel takes
		t.Errorf("the kernel does not take %d bytes: %v", len(args[1]), err)
	}
}

func TestSupportIsToldInWords(t *testing.T) {
	for support, want := range map[Support]string{
		{}:                       "none on this platform",
		{Filter: true}:           "none on this platform",
		{Level: 5}:               "landlock ABI 5, no seccomp",
		{Level: 5, Filter: true}: "landlock ABI 5, seccomp",
	} {
		if got := support.String(); got != want {
			t.Errorf("%+v is %q, want %q", support, got, want)
		}
	}
}

func TestInsideIsAPlaceOrBelowIt(t *testing.T) {
	for path, want := range map[string]bool{
		"/a": true, "/a/": true, "/a/b": true, "/ab": false, "/": false, "/b/../a/c": true, "/c/d": true, "/c": false,
	} {
		if got := Inside(path, []string{"/a", "/c/d/"}); got != want {
			t.Errorf("Inside(%s) = %t", path, got)
		}
	}
	if !Inside("/x", []string{"/"}) || Inside("/x", nil) {
		t.Error("the root contains everything, and nothing is inside no place")
	}
}

func TestGapsBecomeFewerWithTheLevel(t *testing.T) {
	before := len(Support{Level: 1}.Gaps(false))
	for level := 2; level < 12; level++ {
		now := len(Support{Level: level}.Gaps(false))
		if now > before {
			t.Errorf("level %d has more gaps than the one before", level)
		}
		before = now
	}
	if s := (Support{}); s.OK() || len(s.Gaps(false)) != 1 || !strings.Contains(s.String(), "none") {
		t.Errorf("none = %v, %q", s, s.Gaps(false))
	}
}
