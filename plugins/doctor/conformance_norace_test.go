//go:build !race

package openclawdoctor_test

import (
	"testing"

	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/conformance"
)

// TestClassifierKeepsTheContract: 16 MiB within two seconds is promised by a program that is not slowed down several
// times by the race detector. test/verify asks the same of the built one.
func TestClassifierKeepsTheContract(t *testing.T) { conformance.Classifier(t, openclawdoctor.Plugin) }
