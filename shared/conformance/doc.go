// Package conformance checks whether a plugin keeps the contract of shared/proto. It is a table of checks: each has an
// id, says what it holds and which row of the contract that is, and tries it on a plugin that an Opener starts.
//
// `gatehost plugin verify` runs it on a binary, started as the host starts it. Authors in Go also run it in their own
// tests, without a host or a process:
//
//	func TestMain(m *testing.M) {
//		conformance.ChildMain() // only a launcher needs it: the program that is launched is this test binary
//		os.Exit(m.Run())
//	}
//
//	func TestConformance(t *testing.T) { conformance.Doctor(t, plugin) } // plugin is a func() pluginkit.Plugin
//
// What cannot be tried without a process (its end, its pipes, what it leaves behind) is not applicable there; the verb
// tries it.
//
// A check that finds nothing to try, because a doctor has no plan for any incident for example, is not applicable and
// says what was tried. Incidents of an author's own (Incident, a JSON file) give it something.
package conformance
