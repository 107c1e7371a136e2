//go:build linux

package chaos_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// operation is what an operator asks for.
type operation struct {
	at      time.Duration // since the episode began
	kind    string
	gateway string // or plugin
}

func (o operation) String() string { return fmt.Sprintf("%v %s %s", o.at, o.kind, o.gateway) }

// fault is what dies.
type fault struct {
	at   time.Duration
	kind string
	who  string        // a gateway or a plugin, where the kind is about one
	hold time.Duration // how long something stays as it is
}

func (f fault) String() string {
	text := fmt.Sprintf("%v %s %s", f.at, f.kind, f.who)
	if f.hold > 0 {
		text += fmt.Sprintf(" for %v", f.hold)
	}
	return text
}

// episode is what is tried before the next look.
type episode struct {
	number     int
	operations []operation
	faults     []fault
	revive     []time.Duration // how long after its end each dead host is followed by the next
}

func (e episode) String() string {
	var parts []string
	for _, o := range e.operations {
		parts = append(parts, o.String())
	}
	for _, f := range e.faults {
		parts = append(parts, "KILL "+f.String())
	}
	return fmt.Sprintf("episode %d: %s", e.number, strings.Join(parts, "; "))
}

type weighted struct {
	kind   string
	weight int
}

// Kinds of operations on a gateway, of operations on the rest, and of faults.
var (
	operations = []weighted{{"stop", 2}, {"cycle", 4}, {"restart", 5}, {"repair", 4}, {"rpc", 2}}
	wider      = []weighted{{"", 14}, {"plugin restart", 3}, {"host exit", 3}}
	faults     = []weighted{
		{"host", 8},
		{"plugin", 6},
		{"plugins", 3},
		{"shim", 4},
		{"gateway", 4},
		{"host+plugins", 4},
		{"host+shim", 3},
		{"host+gateway", 4},
		{"plugins+gateway", 3},
		{"shim+gateway", 3},
		{"host+plugins+shims", 3},
		{"everything", 3},
		{"plugin hangs", 2},
		{"disk full", 2},
	}
	plugins = []string{"utility", "doctor"}
)

func pick(r *rand.Rand, from []weighted) string {
	sum := 0
	for _, w := range from {
		sum += w.weight
	}
	n := r.IntN(sum)
	for _, w := range from {
		if n -= w.weight; n < 0 {
			return w.kind
		}
	}
	panic("unreachable")
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return (low + time.Duration(r.Int64N(int64(high-low)))).Round(time.Millisecond)
}

// plan draws an episode. It depends on the seed, the number and the names alone, so that a seed replays the same
// sequence.
func plan(seed uint64, number int, gateways []string, disk bool) episode {
	r := rand.New(rand.NewPCG(seed, uint64(number)))
	e := episode{number: number}
	for i, name := range r.Perm(len(gateways)) {
		if i > r.IntN(3) {
			break
		}
		e.operations = append(e.operations,
			operation{between(r, 0, 300*time.Millisecond), pick(r, operations), gateways[name]})
	}
	switch kind := pick(r, wider); kind {
	case "":
	case "plugin restart":
		e.operations = append(e.operations,
			operation{between(r, 0, 600*time.Millisecond), kind, plugins[r.IntN(len(plugins))]})
	default:
		e.operations = append(e.operations, operation{between(r, 0, 600*time.Millisecond), kind, ""})
	}
	n := 1
	if r.IntN(4) == 0 {
		n = 2
	}
	for range n {
		f := fault{at: between(r, 0, 1500*time.Millisecond), kind: pick(r, faults)}
		if f.kind == "disk full" && !disk {
			f.kind = "host"
		}
		switch f.kind {
		case "plugin", "plugin hangs":
			f.who = plugins[r.IntN(len(plugins))]
		case "shim", "gateway", "host+shim", "host+gateway", "plugins+gateway", "shim+gateway":
			f.who = gateways[r.IntN(len(gateways))]
			if len(e.operations) > 0 && r.IntN(2) == 0 && slices.Contains(gateways, e.operations[0].gateway) {
				f.who = e.operations[0].gateway // where something is going on
			}
		}
		switch f.kind {
		case "plugin hangs":
			f.hold = between(r, 300*time.Millisecond, 3*time.Second)
			if r.IntN(4) == 0 {
				f.hold = 30 * time.Second // longer than the host lets it
			}
		case "disk full":
			f.hold = between(r, 300*time.Millisecond, 2*time.Second)
		}
		e.faults = append(e.faults, f)
	}
	slices.SortFunc(e.faults, func(a, b fault) int { return int(a.at - b.at) })
	for range 4 {
		e.revive = append(e.revive, between(r, 0, 800*time.Millisecond))
	}
	return e
}
