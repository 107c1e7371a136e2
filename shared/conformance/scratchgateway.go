package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/doctor"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// scratchGateway is the scratch gateway of one incident: its state directory with the incident's files, and beside them
// files that are none of a doctor's business.
type scratchGateway struct {
	dir    string
	facts  *pb.GatewayFacts
	files  map[string]string // of the incident, by path inside the state directory
	before tree
}

const configName = "openclaw.json"

// factsIn are what a plugin is told about the gateway of an incident.
func factsIn(dir string, i Incident) *pb.GatewayFacts {
	state := filepath.Join(dir, "state")
	out := &pb.GatewayFacts{
		Name: filepath.Base(dir), Port: 18789, Command: []string{"openclaw"}, Args: []string{
			"gateway", "run", "--port",
			"18789",
		}, Cwd: dir,
		Profile: "openclaw", Version: "2026.9.6", StateDir: state, ConfigPath: filepath.Join(state, configName),
		State: "error",
	}
	if g := i.Gateway; g != nil {
		set := func(to *string, v string) {
			if v != "" {
				*to = v
			}
		}
		set(&out.Profile, g.Profile)
		set(&out.Version, g.Version)
		set(&out.State, g.State)
		if len(g.Command) > 0 {
			out.Command = g.Command
		}
		if len(g.Args) > 0 {
			out.Args = g.Args
		}
		if out.Profile == "plain" {
			out.StateDir, out.ConfigPath = "", ""
		}
	}
	return out
}

// newScratchGateway makes the gateway of an incident.
func (rn *runner) newScratchGateway(i Incident) (*scratchGateway, error) {
	rn.scratches++
	s := &scratchGateway{
		dir:   filepath.Join(rn.scratchDir(), fmt.Sprintf("%s-%d", i.Name, rn.scratches)),
		files: i.Files,
	}
	s.facts = factsIn(s.dir, i)
	if err := s.reset(); err != nil {
		return nil, err
	}
	return s, nil
}

// reset makes the gateway again as it was in the beginning.
func (s *scratchGateway) reset() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	files := map[string]string{
		"neighbour/notes.txt": "a file of another program\n", "state/notes/keep.json": "{\"keep\": true}\n",
		"state/sessions/one.jsonl": "{\"n\": 1}\n",
	}
	for name, text := range s.files {
		files[filepath.Join("state", filepath.FromSlash(name))] = text
	}
	for name, text := range files {
		path := filepath.Join(s.dir, name)
		if err := makeDirs(filepath.Dir(path)); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	var err error
	s.before, err = look(s.dir)
	return err
}

// changed lists what is not as it was in the beginning.
func (s *scratchGateway) changed() ([]string, error) {
	now, err := look(s.dir)
	if err != nil {
		return nil, err
	}
	return now.since(s.before), nil
}

// inScope is how the contract bounds a doctor's paths: the state directory, or the configuration file.
func (s *scratchGateway) inScope(path string) bool {
	if path == "" || !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return false
	}
	path = filepath.Clean(path)
	if path == s.facts.GetConfigPath() {
		return true
	}
	rel, err := filepath.Rel(s.facts.GetStateDir(), path)
	return s.facts.GetStateDir() != "" && err == nil && rel != "." && filepath.IsLocal(rel)
}

// Where an author reads which commands a doctor may run.
const commandHint = "the words behind the gateway's command are on the host's list (doctor.EvidenceCommands, " +
	"doctor.StepCommands), or a grant that the plugin asks for names them (" + plugin.GrantCommand + "WORDS)"

// judgeEvidence reports why the host would refuse to run argv as evidence; grants are what the plugin asks for.
func (s *scratchGateway) judgeEvidence(argv, grants []string) error {
	return s.judgeCommand(argv, append(doctor.EvidenceCommands(s.facts.GetProfile()), plugin.CommandsOf(grants)...))
}

// judgeStep is the same for a step of a plan.
func (s *scratchGateway) judgeStep(argv, grants []string) error {
	return s.judgeCommand(argv, append(doctor.StepCommands(s.facts.GetProfile()), plugin.CommandsOf(grants)...))
}

func (s *scratchGateway) judgeCommand(argv []string, allowed [][]string) error {
	own := s.facts.GetCommand()
	if len(argv) <= len(own) || !slices.Equal(argv[:len(own)], own) {
		return fmt.Errorf("runs %q, which does not begin with the gateway's command %q", argv, own)
	}
	words := argv[len(own):]
	if !slices.ContainsFunc(allowed, func(one []string) bool { return slices.Equal(one, words) }) {
		return fmt.Errorf("runs %q, which the host does not run for a doctor: %s", argv, commandHint)
	}
	return nil
}

// tree is what lies below a directory, by path inside it: the kind of each, and the checksum of files.
type tree map[string]string

// look reads a tree. What goes while it is looked at is not in it.
func look(dir string) (tree, error) {
	out := tree{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text := d.Type().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path) //nolint:gosec // below a directory of ours
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			text += " " + sumOf(data)
		}
		out[rel] = text
		return nil
	})
	return out, err
}

// since lists the paths that differ from before, with what happened to them.
func (t tree) since(before tree) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(t)) {
		switch old, known := before[path]; {
		case !known:
			out = append(out, path+" is new")
		case old != t[path]:
			out = append(out, path+" has changed")
		}
	}
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if _, still := t[path]; !still {
			out = append(out, path+" is gone")
		}
	}
	return out
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func makeDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}
