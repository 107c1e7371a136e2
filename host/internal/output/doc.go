// Package output processes the lines of one child: redaction, the tail for crash reports, classification with a
// deadline, and symptoms in order. Thousands of lines come in; only meanings go out. It never blocks the gateway:
// the gateway's shim always reads, and lines wait in the shim's ring while this pipeline is busy.
package output
