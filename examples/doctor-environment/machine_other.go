//go:build !linux && !darwin

package main

// spaceAt knows nothing here: what the gateway says has to do.
func spaceAt(string) space { return space{} }

func ownerOf(string) string { return "" }
