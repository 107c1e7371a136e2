package profile

import "testing"

func TestSearchPathIsPrependedUnderItsPlatformsName(t *testing.T) { // B078, T182..T185
	for _, row := range []struct {
		name, goos string
		env        map[string]string
		key, want  string
	}{
		{"windows prefers Path", "windows", map[string]string{"Path": "a", "PATH": "b"}, "Path", "x;a"},
		{"windows takes any casing", "windows", map[string]string{"pAtH": "a"}, "pAtH", "x;a"},
		{"windows without any", "windows", map[string]string{}, "Path", "x"},
		{"windows keeps one casing of several", "windows", map[string]string{"PATH": "b", "pAtH": "c"}, "PATH", "x;b"},
		{"elsewhere PATH", "linux", map[string]string{"PATH": "a", "Path": "b"}, "PATH", "x:a"},
		{"elsewhere a lone Path is left alone", "linux", map[string]string{"Path": "b"}, "PATH", "x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			prependPathFor(row.env, []string{"x"}, row.goos)
			if row.env[row.key] != row.want {
				t.Errorf("env = %v, want %s=%s", row.env, row.key, row.want)
			}
			if row.goos == "windows" && len(row.env) != 1 {
				t.Errorf("env = %v, want one casing only", row.env)
			}
		})
	}
}
