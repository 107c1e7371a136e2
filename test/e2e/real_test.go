//go:build real

package e2e_test

import (
	"testing"

	"github.com/gatehost/gatehost/internal/testreal"
)

func openclaw(t *testing.T) gateway {
	t.Helper()
	command, path := testreal.OpenClaw(t)
	gw := gateway{command: command, path: path[0]}
	if testreal.Release(t) == "2026.3.13" {
		gw.line = "[gateway] agent model" // it says nothing before it listens
	}
	return gw
}

func TestWholeStoryOnOpenClaw(t *testing.T) { theWholeStory(t, openclaw(t)) }

func TestNewHostAdoptsOpenClaw(t *testing.T) { aNewHostAdopts(t, openclaw(t)) }
