package host

import (
	"fmt"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// refusedFor is how long refused clients are shown after the last one.
const refusedFor = 10 * time.Minute

// refusals remembers the clients that a gateway refused for their token. The lines about them are noise, and hidden; that there are some is
// something that people have to know (B295). Safe for concurrent use.
type refusals struct {
	mu          sync.Mutex // guards all below
	launch      string
	first, last time.Time
	number      int
}

func (r *refusals) take(launch string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if launch != r.launch || at.Sub(r.last).Abs() > refusedFor {
		r.launch, r.first, r.number = launch, at, 0
	}
	r.last = at
	r.number++
}

func (r *refusals) condition(launch string, now time.Time) (control.Condition, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.number == 0 || launch != r.launch || now.Sub(r.last).Abs() > refusedFor {
		return control.Condition{}, false
	}
	times := "1 time"
	if r.number > 1 {
		times = fmt.Sprintf("%d times", r.number)
	}
	return control.Condition{
		Code: "token-mismatch", Since: control.At(r.first),
		Message: "the gateway has refused a client since its token is another one, " + times,
		Hint:    "an old page of the control UI, or another program, has a token of before: open the page anew, or give the program the present one",
	}, true
}
