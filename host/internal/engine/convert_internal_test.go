package engine

import (
	"reflect"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/plugin"
)

// An exit goes through the lifecycle to the doctors with every field: this test fails when plugin.Exit gets a field
// that the conversions drop.
func TestExitReachesDoctorsWithAllItsFields(t *testing.T) {
	want := plugin.Exit{Code: 78, Signal: "SIGABRT", At: time.Unix(1, 2), Known: true, Core: true, Durable: true}
	for v, i := reflect.ValueOf(want), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("the test leaves out %s", v.Type().Field(i).Name)
		}
	}
	kept := exitOf(want)
	if got := PluginExit(&kept); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if got := PluginExit(nil); got != nil {
		t.Errorf("of no exit: %+v", got)
	}
}
