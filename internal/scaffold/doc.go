// Package scaffold creates the project of a new plugin: it builds, tests and passes `gatehost plugin verify` as it
// is, so that an author begins by changing something that works. The templates are what authors see first;
// docs/plugin-authors.md builds on them.
package scaffold
