// Command gatehost supervises OpenClaw gateways. `run` is the host; the other verbs are clients of its control
// socket.
//
// One file holds one verb. The answer goes to stdout, messages for people to stderr; exit codes are in exit.go.
package main

import "os"

func main() {
	os.Exit(execute(newApp(), os.Args[1:]))
}
