//go:build !unix

package server

import (
	"encoding/json"
	"os"

	"github.com/gatehost/gatehost/shared/shim"
)

// Run reports that this platform is not supported yet.
func Run() int {
	_ = json.NewEncoder(os.Stdout).Encode(shim.StartReport{
		Failure: shim.Failf(shim.CodeUnsupported,
			"cannot launch gateway: gatehost-shim does not run on this platform yet"),
	})
	return 1
}

// ExecChild is not supported here.
func ExecChild([]string) int { return 1 }
