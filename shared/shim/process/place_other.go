//go:build !linux && !darwin

package process

func pidNamespace() string { return "" }

func machineID() string { return "" }
