package observe

import (
	"fmt"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// mismatchFor is how long refused clients are shown after the last one.
const mismatchFor = 10 * time.Minute

// mismatches remembers the clients that a gateway refused for their token. The lines about them are noise, and hidden; that there are some is
// something that people have to know (B295). Times are those of the lines.
type mismatches struct {
	launch      lifecycle.LaunchID
	first, last time.Time
	number      int
}

func (m mismatches) take(launch lifecycle.LaunchID, at time.Time, number int) mismatches {
	if launch != m.launch || at.Sub(m.last).Abs() > mismatchFor {
		m = mismatches{launch: launch, first: at}
	}
	m.last = at
	m.number += number
	return m
}

func (m mismatches) shown(launch lifecycle.LaunchID, now time.Time) bool {
	return m.number > 0 && launch == m.launch && now.Sub(m.last).Abs() <= mismatchFor
}

// over is when they are no longer shown, without another one.
func (m mismatches) over() time.Time { return m.last.Add(mismatchFor + 1) }

func (m mismatches) condition() lifecycle.Condition {
	times := "1 time"
	if m.number > 1 {
		times = fmt.Sprintf("%d times", m.number)
	}
	return lifecycle.Condition{
		Code: CodeTokenMismatch, Since: m.first,
		Message: "the gateway refused a client that used another token, " + times,
		Hint:    "a client uses an outdated token: reload the Control UI, or update the token in that program",
	}
}
