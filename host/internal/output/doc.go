// Package output is the line pipeline of one child: redaction, the tail for crash reports, classification with a deadline,
// and symptoms in order. Thousands of lines go through here; only meanings leave. The gateway is never blocked by it: its shim
// always reads, and what this pipeline cannot keep up with waits in the shim's ring.
package output
