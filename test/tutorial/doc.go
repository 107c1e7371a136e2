// Package tutorial follows docs/plugin-authors.md literally: it takes the fenced blocks that are marked as steps, and
// does them in an empty directory with the built binaries on PATH, in each language. A step that the page does not
// print is not done.
package tutorial
