package conditions_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/conditions"
	"github.com/gatehost/gatehost/shared/control"
)

// A condition that is found again keeps the time when it came, and is published again only when it says something else.
func TestConditionOfTheHostHoldsSinceItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var published []control.ConditionData
		c := conditions.New(func(d control.ConditionData) { published = append(published, d) })
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
			published = nil
			c.Set(control.Condition{Code: "x", Message: row.says}, row.active)
			if changed := len(published) == 1; changed != row.changed ||
				changed && (published[0].Since != came || published[0].Active != row.active) {
				t.Errorf("%s: %+v", row.name, published)
			}
			if now := c.List(); row.active != (len(now) == 1) ||
				row.active && (now[0].Message != row.says || now[0].Since != came) {
				t.Errorf("%s: %+v", row.name, now)
			}
			time.Sleep(time.Minute)
			if row.name == "it never came" {
				came = control.At(time.Now())
			}
		}
	})
}
