package host

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// A condition that is found again holds since it came, and is told of again only when it says something else.
func TestConditionOfTheHostHoldsSinceItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c hostConditions
		came := control.At(time.Now())
		for _, row := range []struct {
			name, says      string
			active, changed bool
		}{
			{"it never came", "", false, false},
			{"it comes", "a", true, true},
			{"found again", "a", true, false},
			{"says something else", "b", true, true},
			{"goes", "", false, true},
			{"has gone", "", false, false},
		} {
			got, changed := c.set(control.Condition{Code: "x", Message: row.says}, row.active)
			if changed != row.changed || changed && got.Since != came {
				t.Errorf("%s: %+v, %v", row.name, got, changed)
			}
			if now := c.list(); row.active != (len(now) == 1) || row.active && (now[0].Message != row.says || now[0].Since != came) {
				t.Errorf("%s: %+v", row.name, now)
			}
			time.Sleep(time.Minute)
			if row.name == "it never came" {
				came = control.At(time.Now())
			}
		}
	})
}
