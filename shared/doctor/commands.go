package doctor

import "slices"

// openclawEvidence are the words behind the command of an OpenClaw gateway that every doctor may ask for as evidence.
// None of them writes, starts something that stays, or runs code that its words name.
var openclawEvidence = [][]string{
	{"--version"},
	{"config", "validate"},
	{"config", "validate", "--json"},
	{"doctor", "--lint", "--json"},
}

// openclawSteps are those that the plan of every doctor may run. They change what OpenClaw itself changes.
var openclawSteps = [][]string{
	{"doctor", "--fix", "--yes", "--non-interactive"},
}

// profileOpenClaw is the launch profile whose commands are known (GatewayFacts.Profile).
const profileOpenClaw = "openclaw"

// EvidenceCommands returns the arguments that every doctor may ask for as evidence, for gateways of a launch profile.
// The host compares them word for word and runs nothing else, except what a grant names (plugin.GrantCommand). The
// caller may change the result.
func EvidenceCommands(profile string) [][]string { return known(profile, openclawEvidence) }

// StepCommands returns the arguments that the plan of every doctor may run, for gateways of a launch profile. It is
// enforced like EvidenceCommands.
func StepCommands(profile string) [][]string { return known(profile, openclawSteps) }

func known(profile string, commands [][]string) [][]string {
	if profile != profileOpenClaw {
		return nil
	}
	out := make([][]string, 0, len(commands))
	for _, words := range commands {
		out = append(out, slices.Clone(words))
	}
	return out
}
