// Package scaffold makes the project of a new plugin. It builds, its tests pass, and it passes `gatehost plugin
// verify`, so that an author begins by changing something that works. Authors see the templates first;
// docs/plugin-authors.md builds on them.
package scaffold
