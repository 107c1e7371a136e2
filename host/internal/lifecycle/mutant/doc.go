// Package mutant holds the names of bugs that can be planted into the lifecycle and the engine, to show that the simulator
// (host/internal/sim) would find them. Without the build tag mutants nothing of it is left in a binary: On is false and Or is its last
// argument, both known to the compiler.
package mutant

// Name is one bug.
type Name string

// The bugs. Those marked found were real ones, found by the simulator and planted again.
const (
	ExitOfAnyLaunch     Name = "exit of any launch"     // an exit is not matched by LaunchID
	AttemptsNeverReset  Name = "attempts never reset"   // not by a stable period either
	AttemptsAlwaysReset Name = "attempts always reset"  // also after a period that was not stable
	CapIgnored          Name = "cap ignored"            // of fast attempts
	DoubleLaunch        Name = "double launch"          // what lives is not found before a launch
	LateLaunchForgotten Name = "late launch forgotten"  // a stop does not wait for a launch that has not answered
	UnknownLaunchFailed Name = "unknown launch failed"  // instead of asked about
	RepairedTwice       Name = "repaired twice"         // in one start flow
	OldTimerActs        Name = "old timer acts"         // timers outlive their flow
	OldSessionActs      Name = "old session acts"       // the close of a session that is not the present one
	LateSessionKept     Name = "late session kept"      // opened for nobody and not closed
	WaiterForgotten     Name = "waiter forgotten"       // a stop answers nobody that it supersedes
	WaiterAnsweredTwice Name = "waiter answered twice"  // and more often
	AdoptedRestarted    Name = "adopted restarted"      // what lives is ended instead of adopted
	StrangerTaken       Name = "stranger taken"         // the launch of another gateway is taken for ours
	DownIsNotFound      Name = "down is not found"      // found: a launcher that is down was taken for one that knows no such launch
	FatalRetried        Name = "fatal retried"          // a fatal error is tried again
	SilentIsAlive       Name = "silent is alive"        // whatever the verifying call says
	NotReleased         Name = "not released"           // ended launches are kept
	CursorIgnored       Name = "cursor ignored"         // output is read from its beginning
	NoDeadline          Name = "no deadline"            // the engine waits for a lost answer
	LeftoversIgnored    Name = "leftovers ignored"      // found: a stop did not end what an earlier host left
	RestartAdopts       Name = "restart adopts"         // found: a restart was answered with an older process
	ZombieBeatsStop     Name = "zombie beats stop"      // found: a gateway's words overrode a stop
	RestsAtOnce         Name = "rests at once"          // found: two readers of one output
	LastLinesThrownAway Name = "last lines thrown away" // of a launch that was ended
	FlapsAtOnce         Name = "flaps at once"          // found by reading: a session that does not last is made anew at once, for ever
)

// All is every bug.
func All() []Name {
	return []Name{
		ExitOfAnyLaunch, AttemptsNeverReset, AttemptsAlwaysReset, CapIgnored, DoubleLaunch, LateLaunchForgotten, UnknownLaunchFailed,
		RepairedTwice, OldTimerActs, OldSessionActs, LateSessionKept, WaiterForgotten, WaiterAnsweredTwice, AdoptedRestarted, StrangerTaken, DownIsNotFound,
		FatalRetried, SilentIsAlive, NotReleased, CursorIgnored, NoDeadline, LeftoversIgnored, RestartAdopts, ZombieBeatsStop, RestsAtOnce,
		LastLinesThrownAway, FlapsAtOnce,
	}
}

// AnsweredTwice is no bug but a burden: every answer of an effect is sent a second time, and nothing may come of that.
const AnsweredTwice Name = "answered twice"

// Or is planted in a binary where the bug is on, and right everywhere else.
func Or[T any](n Name, planted, right T) T {
	if On(n) {
		return planted
	}
	return right
}
