package lifecycle

import "time"

// RepairMode says which repairs the host does by itself.
type RepairMode string

// Repair modes.
const (
	RepairAuto RepairMode = "auto"
	RepairAsk  RepairMode = "ask"
	RepairOff  RepairMode = "off"
)

// ConflictMode says what happens when a gateway that gatehost did not start has the port.
type ConflictMode string

// Conflict modes.
const (
	ConflictAttach ConflictMode = "attach"
	ConflictFail   ConflictMode = "fail"
)

// ShimLossMode says what happens to a gateway whose shim died.
type ShimLossMode string

// Modes of a lost shim.
const (
	ShimLossRestart ShimLossMode = "restart" // gracefully, under a new shim
	ShimLossKeep    ShimLossMode = "keep"    // it runs on unwatched, without output, until an operator restarts it
)

// Policy is the operator's settings for one gateway. Each step may have another one; see Reconfigured.
type Policy struct {
	StartAttempts int           // fast attempts in one start (B040)
	RetryDelay    time.Duration // between them (B054)
	NoProgress    time.Duration // a start without any sign of life ends after this (R48)
	StartTimeout  time.Duration // a start flow ends after this, whatever it shows
	ProbeInterval time.Duration // between two readiness probes

	BackoffBase       time.Duration // B197
	BackoffMax        time.Duration
	ReconnectAttempts int           // fast attempts between two stable periods (invariant 5)
	StableAfter       time.Duration // running this long sets the attempts back to 0 (B026)
	SlowRetry         time.Duration // after the cap; 0 means stop trying

	// after this a repair whose launcher died can do no more: its command was ended as an orphan
	RepairSettle time.Duration

	Grace        time.Duration // SIGTERM to SIGKILL
	Silence      time.Duration // without any frame for this long, then verify (B274)
	RejoinWithin time.Duration // a lost connection to a live process is tried this long
	RestartSlack time.Duration // added to an announced restart (B205)

	RestartCooldown time.Duration // between two restarts of a process (B235)
	ReloadSettle    time.Duration // within this a gateway that took a reload announces it (B254)
	ReloadMinAge    time.Duration // a younger process may still be reading its configuration (B253)
	Jitter          float64       // of the back-off: 0.1 is 10 % to either side (B197)

	Repair     RepairMode
	OnConflict ConflictMode
	OnShimLoss ShimLossMode
}

// DefaultPolicy is the defaults of config.toml.
func DefaultPolicy() Policy {
	return Policy{
		StartAttempts: 3, RetryDelay: time.Second,
		NoProgress: 90 * time.Second, StartTimeout: 8 * time.Minute, ProbeInterval: 200 * time.Millisecond,
		BackoffBase: time.Second, BackoffMax: 30 * time.Second, ReconnectAttempts: 10,
		StableAfter: time.Minute, SlowRetry: 5 * time.Minute,
		RepairSettle: 15 * time.Second,
		Grace:        30 * time.Second, Silence: 180 * time.Second,
		RejoinWithin: 30 * time.Second, RestartSlack: time.Minute,
		RestartCooldown: 2500 * time.Millisecond, ReloadSettle: 5 * time.Second, ReloadMinAge: 8 * time.Second,
		Repair: RepairAuto, OnConflict: ConflictAttach, OnShimLoss: ShimLossRestart,
	}
}

// backoff returns the delay before automatic attempt n, counted from 0: base * 2^n, at most max. The dice differ from
// gateway to gateway and from time to time: when many gateways fail at once, jitter keeps them from restarting at once.
func (p Policy) backoff(n int, dice uint64) time.Duration {
	d := p.BackoffBase
	for range n {
		if d *= 2; d >= p.BackoffMax {
			break
		}
	}
	d = min(d, p.BackoffMax)
	if p.Jitter <= 0 {
		return d
	}
	dice = (dice + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9 // splitmix64's mixing: neighbours must not be neighbours
	dice = (dice ^ dice>>27) * 0x94d049bb133111eb
	side := float64(dice>>11)/(1<<52) - 1 // -1 to 1
	return max(time.Duration(float64(d)*(1+min(p.Jitter, 0.9)*side)), time.Millisecond)
}
