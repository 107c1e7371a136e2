// Command doctor-environment is a doctor for what surrounds a gateway: a full disk, a Node.js that is too old, a port
// that another program has, memory that is used up, a directory that is not writable, a clock that is wrong. It repairs
// nothing and says what to do. README.md has the list. It uses nothing that a third party could not.
package main

import "github.com/gatehost/gatehost/shared/pluginkit"

func main() { pluginkit.Serve(environment(realMachine())) }

func environment(m machine) pluginkit.Plugin {
	d := newDoctor(m)
	return pluginkit.Plugin{
		Name: "doctor-environment", Version: "0.1.0", ConfigFields: fields(), Configure: d.configure, Doctor: d,
	}
}
