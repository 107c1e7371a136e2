//go:build !unix

package initprocess

import (
	"fmt"
	"io"
)

// Run fails here: this platform has no process 1.
func Run(_ []string, say io.Writer) int {
	fmt.Fprintln(say, "gatehost: there is no process 1 on this platform")
	return 1
}
