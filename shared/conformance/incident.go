package conformance

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Incident is a failure that a doctor is asked about: what the host saw, the gateway's files, and what the gateway's
// command answers. Its JSON is what `gatehost plugin verify --incident FILE` reads.
type Incident struct {
	Name    string           `json:"name"` // lower-case words joined by hyphens
	Gateway *IncidentGateway `json:"gateway,omitempty"`
	Exit    *IncidentExit    `json:"exit,omitempty"`  // absent: it lives, or never was
	Lines   []string         `json:"lines,omitempty"` // its last ones, oldest first
	// Symptoms are the classifier's, in the words of status and logs: "config-invalid".
	Symptoms     []string `json:"symptoms,omitempty"`
	ErrorCode    string   `json:"errorCode,omitempty"` // the host's: "exited_before_ready"
	ErrorMessage string   `json:"errorMessage,omitempty"`
	// in the state directory, by path inside it; the configuration is openclaw.json
	Files    map[string]string `json:"files,omitempty"`
	Commands []IncidentCommand `json:"commands,omitempty"`
}

// IncidentGateway is what differs from a current OpenClaw.
type IncidentGateway struct {
	Profile string   `json:"profile,omitempty"`
	Version string   `json:"version,omitempty"`
	State   string   `json:"state,omitempty"`
	Command []string `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
}

// IncidentExit is how the process ended.
type IncidentExit struct {
	Code   int    `json:"code,omitempty"`
	Signal string `json:"signal,omitempty"`
}

// IncidentCommand is what a read-only command of the gateway answers, for doctors that ask for it as evidence.
type IncidentCommand struct {
	Args   []string `json:"args"` // after the launch command: ["config", "validate", "--json"]
	Stdout string   `json:"stdout,omitempty"`
	Stderr string   `json:"stderr,omitempty"`
	Code   int      `json:"code,omitempty"`
}

//go:embed incidents/*.json
var incidents embed.FS

// builtIn are the incidents that every doctor is asked about: what real gateways printed in these troubles.
func builtIn() []Incident {
	names, err := fs.Glob(incidents, "incidents/*.json")
	if err != nil {
		panic(err) // they are embedded, and a test reads them
	}
	var out []Incident
	for _, name := range names {
		data, err := incidents.ReadFile(name)
		if err != nil {
			panic(err)
		}
		i, err := parseIncident(data)
		if err != nil {
			panic(name + ": " + err.Error())
		}
		out = append(out, i)
	}
	return out
}

// maxIncident bounds an incident's file in bytes.
const maxIncident = 8 << 20

// ReadIncident reads an incident's file.
func ReadIncident(path string) (Incident, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Incident{}, fmt.Errorf("cannot read incident: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxIncident {
		return Incident{}, fmt.Errorf("cannot read incident %s: it is no regular file of at most 8 MiB", path)
	}
	data, err := os.ReadFile(path) //nolint:gosec // its author named it
	if err != nil {
		return Incident{}, fmt.Errorf("cannot read incident: %w", err)
	}
	i, err := parseIncident(data)
	if err != nil {
		return i, fmt.Errorf("cannot read incident %s: %w", path, err)
	}
	return i, nil
}

var incidentNames = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func parseIncident(data []byte) (Incident, error) {
	var i Incident
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&i); err != nil {
		return i, err
	}
	if len(i.Name) > 64 || !incidentNames.MatchString(i.Name) {
		return i, fmt.Errorf("its name %q is not lower-case words joined by hyphens", i.Name)
	}
	for _, word := range i.Symptoms {
		if symptomOf(word) == plugin.NoSymptom {
			return i, fmt.Errorf("%q is not a symptom", word)
		}
	}
	for name := range i.Files {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return i, fmt.Errorf("the file %q is not inside the state directory", name)
		}
	}
	return i, nil
}

func symptomOf(word string) plugin.Symptom {
	for s := plugin.SymptomConfigInvalid; s <= plugin.SymptomInstallReplaced; s++ {
		if s.String() == word {
			return s
		}
	}
	return plugin.NoSymptom
}

// incidentTime is when everything in an incident happened: the same each time, so that answers can be compared.
var incidentTime = time.Date(2026, 11, 23, 13, 41, 11, 0, time.UTC)

const mostLines = 120

// message is the incident as the host would send it.
func (i Incident) message() *pb.Incident {
	out := &pb.Incident{ErrorCode: i.ErrorCode, ErrorMessage: i.ErrorMessage, Attempt: 1}
	if i.Exit != nil {
		out.Exit = &pb.Exit{
			Code: int32(i.Exit.Code), Signal: i.Exit.Signal, //nolint:gosec // an exit code
			Known: true, Durable: true,
			At: timestamppb.New(incidentTime),
		}
	}
	cursor := uint64(0)
	for n, text := range i.Lines[max(0, len(i.Lines)-mostLines):] {
		cursor += uint64(len(text)) + 1
		out.Lines = append(out.Lines, &pb.Line{
			Cursor: cursor, Stream: pb.Stream_STREAM_STDERR, Text: text,
			Time: timestamppb.New(incidentTime.Add(time.Duration(n) * time.Millisecond)),
		})
	}
	for _, word := range i.Symptoms {
		out.Symptoms = append(out.Symptoms, pb.Symptom(symptomOf(word))) //nolint:gosec // the enums have the same numbers
	}
	return out
}

// evidence answers one request as the host would: commands by what the incident says, files by what exists.
func (i Incident) evidence(s *scratchGateway, want *pb.EvidenceRequest, content bool, grants []string) *pb.Evidence {
	out := &pb.Evidence{Id: want.GetId()}
	switch w := want.GetWant().(type) {
	case *pb.EvidenceRequest_Exec:
		if err := s.judgeEvidence(w.Exec.GetArgv(), grants); err != nil {
			out.Problem = "it " + err.Error()
			return out
		}
		args := w.Exec.GetArgv()[len(s.facts.GetCommand()):]
		answer := IncidentCommand{Code: 1, Stderr: "error: unknown command '" + strings.Join(args, " ") + "'\n"}
		if at := slices.IndexFunc(i.Commands,
			func(c IncidentCommand) bool { return slices.Equal(c.Args, args) }); at >= 0 {
			answer = i.Commands[at]
		}
		out.Available, out.Stdout, out.Stderr = true, answer.Stdout, answer.Stderr
		out.Exit = &pb.Exit{Code: int32(answer.Code), //nolint:gosec // an exit code
			Known: true, At: timestamppb.New(incidentTime)}
	case *pb.EvidenceRequest_File:
		if !s.inScope(w.File.GetPath()) {
			out.Problem = "the path is outside the gateway's state directory"
			return out
		}
		out.Available = true
		if data, err := os.ReadFile(w.File.GetPath()); err == nil {
			out.Exists, out.Size, out.Sha256 = true, uint64(len(data)), sumOf(data)
			if content {
				out.Content = data
			}
		}
	}
	return out
}
