// Package docs holds the documentation to the code, and both to the words of the glossary. Its tests check that
//
//   - every citation resolves: rows B and T of docs/behaviour.md, findings R and invariants of docs/architecture.md,
//     decisions of docs/adr, documents with their sections and anchors, and paths of the repository in documents;
//   - nothing cites a document that is not in the repository;
//   - the words that docs/glossary.md replaces are not used in documents, comments and strings;
//   - documents have lines of at most 120 columns;
//   - docs/reference/api.md has every route, event, condition, exit code and type of the code.
//
// It reads files and runs nothing, so code behind a build tag counts too. Words and widths that are left are
// counted in testdata/ratchet.txt, by check and file. The counts can only shrink: `go test ./internal/docs -update`
// writes them anew and refuses to write a greater sum. The same flag writes the types of docs/reference/api.md.
package docs
