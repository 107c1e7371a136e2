package pluginkit

import (
	"strings"
	"testing"
)

func explode() { panic("planted") }

func TestPlaceOfAPanicIsFound(t *testing.T) {
	at := ""
	func() {
		defer func() {
			_ = recover()
			at = panicked()
		}()
		explode()
	}()
	first, _, _ := strings.Cut(at, " < ")
	if !strings.HasPrefix(first, "panicked_test.go:") || !strings.HasSuffix(first, "pluginkit.explode") {
		t.Errorf("%q", at)
	}
}
