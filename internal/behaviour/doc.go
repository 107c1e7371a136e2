// Package behaviour checks docs/behaviour.md: each row of the behaviour table is answered once, by tests that
// exist.
//
// rows.txt is the list of rows with their verdicts. An answer is a table row `| B012 | what we do |
// package.TestName, ... |`. A package is named by the end of its folder ("session", "plugins/doctor"), a subtest by
// a slash and its name in the code. A row whose verdict is "out" says `out: the hook that replaces it`. A row that
// is decided otherwise names its ADR.
package behaviour
