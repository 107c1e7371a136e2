//go:build !linux && !darwin

package main

// spaceAt knows nothing here: only what the gateway says is used.
func spaceAt(string) space { return space{} }

func ownerOf(string) string { return "" }
