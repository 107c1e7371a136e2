package shimlauncher

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
)

// ofOutput are the fields of a shim's exit that say something of the output: launcher.End and Instance have them.
var ofOutput = []string{"EndOffset", "Truncated", "Final"}

// TestEveryFieldOfAnExitReachesTheHost: from the file that a shim wrote to what a plugin says.
func TestEveryFieldOfAnExitReachesTheHost(t *testing.T) {
	var written shim.Exit
	fields := reflect.ValueOf(&written).Elem()
	for i := range fields.NumField() {
		switch f := fields.Field(i); f.Interface().(type) {
		case time.Time:
			f.Set(reflect.ValueOf(time.Unix(7, 0).UTC()))
		case string:
			f.SetString("SIGABRT")
		case int:
			f.SetInt(7)
		case uint64:
			f.SetUint(7)
		case bool:
			f.SetBool(true)
		default:
			t.Fatalf("the field %s of an exit has a type that this test does not set", fields.Type().Field(i).Name)
		}
	}
	data, err := json.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	var read shim.Exit
	if err := json.Unmarshal(data, &read); err != nil || read != written {
		t.Fatalf("the file says %+v, %v; want %+v", read, err, written)
	}

	told := reflect.ValueOf(exit(&read))
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		if got := told.FieldByName(name); slices.Contains(ofOutput, name) == got.IsValid() {
			t.Errorf("%s of a shim's exit: decide whether a plugin tells it", name)
		} else if got.IsValid() && !reflect.DeepEqual(got.Interface(), fields.Field(i).Interface()) {
			t.Errorf("%s = %v, want %v", name, got, fields.Field(i))
		}
	}
	for i := range told.NumField() {
		if told.Field(i).IsZero() {
			t.Errorf("a plugin does not tell %s of an exit", told.Type().Field(i).Name)
		}
	}
	if unseen := exit(nil); unseen.Known || unseen != (plugin.Exit{At: unseen.At}) {
		t.Errorf("an end that was not seen is %+v", unseen)
	}
}
