// Command gateway-emulator stands in for openclaw in tests and demos. See gateway-emulator --help.
package main

import (
	"os"

	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func main() {
	os.Exit(gatewaytest.RunMain(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
