// Package reload puts another configuration in force while the host runs: it makes a plan, which changes nothing, and
// applies it, one reload at a time. A change that concerns a running process counts from its next launch. The package
// owns the turn to change what is in force. It must not import api: who asks for a reload is not its concern.
package reload
