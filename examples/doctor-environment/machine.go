package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// machine is what can be seen of the gateway's environment. Each function may know nothing: another platform, another
// user's directory.
type machine struct {
	space func(path string) space  // of the file system that path is on, or would be
	owner func(path string) string // "uid 1000, mode drwx------"
	now   func() time.Time
}

func realMachine() machine { return machine{space: spaceAt, owner: ownerOf, now: time.Now} }

// space is how full a file system is.
type space struct {
	known       bool
	free, total uint64 // bytes, for users other than root
	freeInodes  uint64
	inodes      uint64 // 0: it has no such limit
	readOnly    bool
	at          string // the directory that was looked at
}

func (s space) String() string {
	text := fmt.Sprintf("%s of %s are free where %s is", mib(s.free), mib(s.total), s.at)
	if s.inodes > 0 {
		text += fmt.Sprintf(", and %d of %d inodes", s.freeInodes, s.inodes)
	}
	return text
}

// existing returns path, or the nearest directory above it that exists.
func existing(path string, there func(string) bool) string {
	for path != "" && !there(path) {
		parent := filepath.Dir(path)
		if parent == path {
			break
		}
		path = parent
	}
	return path
}

// examination is one question with what was looked at for it.
type examination struct {
	req     doctor.DiagnoseRequest
	machine machine
	table   table
	space   space
	words   []string // that the gateway said of itself
	parts   []string // that any part of it said
}

func (d *environmentDoctor) look(req doctor.DiagnoseRequest) *examination {
	c := &examination{req: req, machine: d.machine, table: *d.table.Load()}
	if req.Gateway.StateDir != "" {
		c.space = d.machine.space(req.Gateway.StateDir)
	}
	if req.Incident != nil {
		c.words, c.parts = wordsOf(req.Incident.Lines)
	}
	return c
}

func (c *examination) outOfInodes() bool { return c.space.inodes > 0 && c.space.freeInodes == 0 }

// nearlyFull also requires less than a twentieth, so that a small file system is not full from the beginning.
func (c *examination) nearlyFull() bool {
	return c.space.known && (c.outOfInodes() || c.space.free < c.table.MinFreeMiB<<20 &&
		c.space.free <= c.space.total/20)
}

// starved are words of a store that could not write, without the reason (measured on 2026.9.6 with a disk that was
// nearly full).
var starved = regexp.MustCompile(`(?i)\bdatabase is not open\b|\bdisk I/O error\b|\bSQLITE_(?:FULL|IOERR)\b`)

// firstSeen is the day before which no clock can be right: this program did not exist.
var firstSeen = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fromMachine returns what is wrong now, whatever the gateway says.
func (c *examination) fromMachine() []doctor.Finding {
	var out []doctor.Finding
	if c.space.known && c.space.readOnly {
		out = append(out, doctor.Finding{
			Code: codeReadOnly, Severity: plugin.SeverityError, Fatal: c.req.Incident != nil,
			Evidence: []string{c.space.String()},
			Text:     about(c.req.Gateway) + " is on a file system that is mounted read-only",
			Hint:     "mount it for writing, or set another launch.state_dir",
		})
	}
	if c.nearlyFull() && !c.space.readOnly {
		out = append(out, c.lackOfSpace())
	}
	if now := c.machine.now(); now.Before(firstSeen) {
		out = append(out, doctor.Finding{
			Code: codeClockOff, Severity: plugin.SeverityWarning, Evidence: []string{now.UTC().Format(time.RFC3339)},
			Text: "the machine's clock is years behind: certificates and tokens will be refused",
			Hint: "set the clock: `timedatectl set-ntp true`",
		})
	}
	return out
}

// lackOfSpace is a warning while the gateway does not suffer from it.
func (c *examination) lackOfSpace() doctor.Finding {
	suffers := slices.ContainsFunc(c.words, starved.MatchString)
	f := doctor.Finding{
		Code: codeNearlyFull, Severity: plugin.SeverityWarning, Evidence: []string{c.space.String()},
		Text: "the disk of " + about(c.req.Gateway) + " is nearly full",
		Hint: "free some space there (`df -h`, `df -i`)",
	}
	if full := c.space.free == 0 || c.outOfInodes(); suffers || full && c.req.Incident != nil {
		f.Code, f.Severity, f.Fatal = codeDiskFull, plugin.SeverityError, full
		f.Text = "the disk of " + about(c.req.Gateway) + " is full, and the gateway did not start on it"
		f.Hint += ", then run `gatehost start`"
	}
	return f
}

// fileIn returns the first file of the gateway that lines name.
func (c *examination) fileIn(lines []string) string {
	gw := c.req.Gateway
	for _, l := range lines {
		for _, m := range filePattern.FindAllStringSubmatch(l, -1) {
			file := filepath.Clean(m[1])
			if gw.ConfigPath != "" && file == filepath.Clean(gw.ConfigPath) {
				return file
			}
			if rel, err := filepath.Rel(gw.StateDir, file); gw.StateDir != "" && err == nil && rel != ".." &&
				!strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
				return file
			}
		}
	}
	return ""
}
