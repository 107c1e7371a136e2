package engine_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
)

// conditionsTold are the changes of conditions that the observer was told of so far, as "code came" and "code went".
func (s *scene) conditionsTold() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, f := range s.facts {
		if c, ok := f.(observe.ConditionChanged); ok {
			word := " went"
			if c.Active {
				word = " came"
			}
			out = append(out, c.Code+word)
		}
	}
	return out
}

// Whatever is seen beside the steps reaches the record by the owner: it is in the snapshot and told to the observer.
func TestWhatIsSeenBesideTheStepsIsInTheSnapshotAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.plugins = []observe.Plugin{{Name: "doctor", Problem: "exit status 1"}} // before the engine begins to run
		p := lc.DefaultPolicy()
		p.Silence = time.Hour // the sessions of this world say nothing
		e := begin(t, s, p)
		mustDo(t, e.Start, lc.OutcomeApplied)
		var want []string
		wants := func(change ...string) {
			t.Helper()
			synctest.Wait()
			want = append(want, change...)
			if got := s.conditionsTold(); !slices.Equal(got, want) {
				t.Fatalf("told %q, want %q", got, want)
			}
			shown := map[string]bool{}
			for _, c := range e.Snapshot().Record.Conditions() {
				shown[c.Code] = true
			}
			for _, w := range change {
				code, word, _ := strings.Cut(w, " ")
				if shown[code] != (word == "came") {
					t.Errorf("after %q the snapshot shows %v", w, shown)
				}
			}
		}
		with := func(change func()) {
			s.mu.Lock()
			defer s.mu.Unlock()
			change()
		}
		wants("plugin-down came")
		with(func() { s.plugins = nil })
		e.Look()
		wants("plugin-down went")

		pings := func(n int) {
			s.mu.Lock()
			s.pings = n
			var told []func()
			for _, events := range s.live {
				told = append(told, events.Pings)
			}
			s.mu.Unlock()
			for _, tell := range told {
				tell()
			}
		}
		pings(1)
		wants()
		pings(2)
		wants("unresponsive came")
		pings(0)
		wants("unresponsive went")

		var see func(observe.Sight)
		with(func() { see = s.see })
		see(observe.ClientRefused{Launch: e.Snapshot().State.Launch, At: time.Now(), Number: 3})
		wants("token-mismatch came")
		time.Sleep(9 * time.Minute)
		wants()
		time.Sleep(2 * time.Minute) // nothing happens but time
		wants("token-mismatch went")

		with(func() { s.plugins = []observe.Plugin{{Name: "spare", Problem: "exit status 1"}} })
		e.Look()
		wants()
		err := e.Configure(t.Context(), engine.Settings{
			Policy: lc.DefaultPolicy(), Observe: observe.Settings{Plugins: []string{"spare"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		wants("plugin-down came")
	})
}

// A figure that was overtaken by a newer one changes nothing: the owner reads the session when it takes the message.
func TestFiguresOfPingsAreReadByTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		s.mu.Lock()
		s.pings = 2 // seen, and answered before the message is taken
		s.pings = 0
		var tell func()
		for _, events := range s.live {
			tell = events.Pings
		}
		s.mu.Unlock()
		tell()
		tell()
		synctest.Wait()
		if told := s.conditionsTold(); len(told) > 0 {
			t.Errorf("told %q", told)
		}
	})
}
