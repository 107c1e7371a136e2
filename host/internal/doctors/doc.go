// Package doctors has the doctors of one gateway examine it, and their plans executed: for the engine after a failed start, and for an operator
// who asks. It sees the gateway by the interface Target.
package doctors
