package main

import (
	"testing"

	"github.com/gatehost/gatehost/shared/conformance"
)

func TestItKeepsTheContract(t *testing.T) { conformance.Doctor(t, minimal) }
