// Package doctors asks the doctors of one gateway what is wrong with it and has their plans carried out: for the engine
// after a failed start, and for an operator who asks. It owns the last assessment and the name of its plan. It sees the
// gateway by the interface Target and must not import package gateway.
package doctors
