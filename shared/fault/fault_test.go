package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// TestCodeOfACauseIsNotTheErrors: a launcher that is down because its program was not found does not say that a launch
// was not found. A host that confused the two gave up a gateway that was alive.
func TestCodeOfACauseIsNotTheErrors(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "launcher", Err: fs.ErrNotExist}
	why := Wrap(NotFound, "there is no such file", fmt.Errorf("%w after %w", missing, context.Canceled)).WithHint(
		"install it")
	down := fmt.Errorf("stop: %w", Wrap(PluginDown, "plugin is failed", fmt.Errorf("cannot start it: %w", why)))

	if errors.Is(down, ErrNotFound) || !errors.Is(down, ErrPluginDown) || CodeOf(down) != PluginDown {
		t.Errorf("not found: %v, plugin down: %v, code %s", errors.Is(down, ErrNotFound),
			errors.Is(down, ErrPluginDown), CodeOf(down))
	}
	if remote := FromStatus(ToStatus(why)); !errors.Is(remote, ErrNotFound) {
		t.Errorf("its own code is lost: %v", remote)
	}
	// Errors that are no faults are found as usual.
	if path, ok := errors.AsType[*fs.PathError](down); !ok || path != missing {
		t.Errorf("the path error is not found: %v", path)
	}
	for _, want := range []error{fs.ErrNotExist, context.Canceled, missing, why, down} {
		if !errors.Is(down, want) {
			t.Errorf("%v is not found in it", want)
		}
	}
	if f, ok := errors.AsType[*Error](errors.Unwrap(Wrap(PluginDown, "", why))); ok {
		t.Errorf("a fault in the cause: %v", f)
	}
	text := "stop: plugin is failed: cannot start it: there is no such file: " + missing.Error() +
		" after context canceled"
	if got := down.Error(); got != text {
		t.Errorf("message %q", got)
	}
	if got := HintOf(Wrap(PluginDown, "", why)); got != "install it" {
		t.Errorf("hint %q", got)
	}
}
