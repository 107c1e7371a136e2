package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// trouble is one fault that a gateway's own words can show.
type trouble struct {
	words   []string // lower case; a line must have one: most lines cost a few searches and no pattern
	pattern *regexp.Regexp
	unless  *regexp.Regexp // another message that looks like it
	anyPart bool           // not only the gateway itself: its providers and channels, too
	symptom plugin.Symptom // shows it, too, when the line itself is not in the incident
	port    bool           // a port that the line names must be the gateway's own
	finding doctor.Finding
	refine  func(*doctor.Finding, *examination) bool // false: it is nothing after all
}

// in looks for t in what a gateway said.
func (t trouble) in(c *examination) (doctor.Finding, bool) {
	f := t.finding
	said := c.words
	if t.anyPart {
		said = c.parts
	}
	for _, w := range said {
		folded := strings.ToLower(w)
		if !slices.ContainsFunc(t.words, func(word string) bool { return strings.Contains(folded, word) }) {
			continue
		}
		at := t.pattern.FindStringIndex(w)
		switch {
		case at == nil, t.unless != nil && t.unless.MatchString(w), speech.MatchString(w[:at[0]]), t.port &&
			!c.ownPort(w):
		case len(f.Evidence) < maxQuoted:
			f.Evidence = append(f.Evidence, cut(w))
		}
	}
	if len(f.Evidence) == 0 && !c.req.Incident.Shows(t.symptom) {
		return f, false
	}
	return f, t.refine == nil || t.refine(&f, c)
}

// known are the troubles, the most important first: the operator is told the first error of the first doctor.
var known = []trouble{
	{
		words: []string{"enospc", "no space left", "disk is full", "edquot", "quota exceeded"},
		pattern: regexp.MustCompile(
			`(?i)\bENOSPC\b|\bno space left on device\b|\bdatabase or disk is full\b|\bEDQUOT\b|\bdisk quota exceeded\b`),
		unless: watching, symptom: never, refine: fullDisk,
		finding: doctor.Finding{Code: codeDiskFull, Severity: plugin.SeverityError, Fatal: true},
	},
	{
		words:   []string{"erofs", "read-only file"},
		pattern: regexp.MustCompile(`(?i)\bEROFS\b|\bread-only file ?system\b`), symptom: never, refine: inside,
		finding: doctor.Finding{
			Code: codeReadOnly, Severity: plugin.SeverityError, Fatal: true,
			Text: "the gateway's files are on a file system that is mounted read-only",
			Hint: "look why with `dmesg`: a disk with errors is often mounted so; then mount it for writing",
		},
	},
	{
		words:   []string{"eacces", "eperm"},
		pattern: regexp.MustCompile(`(?i)\b(?:EACCES|EPERM)\b`), symptom: never, refine: closedFile,
		finding: doctor.Finding{Code: "permission-denied", Severity: plugin.SeverityError, Fatal: true},
	},
	{ // 2026.9.6, as another user than the one whose HOME it has
		words:   []string{"unsafe fallback openclaw temp dir"},
		pattern: regexp.MustCompile(`\bUnsafe fallback OpenClaw temp dir: \S+`), symptom: never, refine: unsafeTemp,
		finding: doctor.Finding{Code: "temp-dir-unsafe", Severity: plugin.SeverityError, Fatal: true},
	},
	{
		words: []string{"supported range", "install node 24.15", ": node:sqlite", "openclaw requires", "bun runtime"},
		// B303
		pattern: regexp.MustCompile(
			`(?i)\bNode(?:\.js)?\b.*\boutside the supported range\b|\bInstall Node 24\.15\+.*\bNode 22\.22\.3\+` +
				// 2026.9.6
				`|\bNode \S+: node:sqlite\b.*; use |\bNode \S+: openclaw requires Node\b|\bNode \S+ is unsupported; OpenClaw ` +
				`requires\b` +
				`|\bopenclaw requires Node\b|\bthis Bun runtime is unsupported\b`),
		symptom: plugin.SymptomRuntimeFatal, refine: oldNode,
		finding: doctor.Finding{Code: "node-unsupported", Severity: plugin.SeverityError, Fatal: true},
	},
	{
		words: []string{"wal-reset-safe"},
		pattern: regexp.MustCompile(
			`(?i)\buses SQLite\b.*\bnot WAL-reset-safe\b|\bSQLite\b.*\bWAL-reset-safe runtime required\b|\bSQLite \S+ is not ` +
				`WAL-reset-safe\b`),
		symptom: never,
		finding: doctor.Finding{
			Code: "sqlite-unsupported", Severity: plugin.SeverityError, Fatal: true,
			Text: "the SQLite within the Node.js that runs the gateway can lose data, and the gateway refuses it",
			Hint: "install a newer Node.js, not one of the distribution that brings its own SQLite, and put it first in " +
				"launch.path_prepend",
		},
	},
	{
		words: []string{"startup migration", "retry after the other"},
		// B304
		pattern: regexp.MustCompile(
			`(?i)\bstartup migrations? (?:is|are) already running\b|\bretry after the other (?:gateway|OpenClaw process) ` +
				`finishes\b`),
		symptom: plugin.SymptomMigrationLocked, refine: migration,
		finding: doctor.Finding{
			Code: "migration-running", Severity: plugin.SeverityError, Fatal: true,
			OtherOwner: true,
		},
	},
	{
		words: []string{"out of memory", "heap limit", "out_of_memory", "enomem", "cannot allocate", "killed"},
		pattern: regexp.MustCompile(
			`\bJavaScript heap out of memory\b|\bReached heap limit\b|\bERR_WORKER_OUT_OF_MEMORY\b|\bENOMEM\b|\bCannot ` +
				`allocate memory\b|^Killed$`),
		symptom: never, refine: memory,
		finding: doctor.Finding{Code: "out-of-memory", Severity: plugin.SeverityError},
	},
	{
		words: []string{"eaddrinuse", "already listening", "already in use"},
		pattern: regexp.MustCompile(
			`(?i)\blisten EADDRINUSE\b|\banother gateway instance is already listening on ws://|^Port \d+ is already in use\b`),
		port: true, symptom: plugin.SymptomPortConflict, refine: takenPort,
		finding: doctor.Finding{Code: codePortTaken, Severity: plugin.SeverityError, OtherOwner: true},
	},
	{
		words:   []string{"listen eacces"},
		pattern: regexp.MustCompile(`(?i)\blisten EACCES\b`), port: true, symptom: never,
		finding: doctor.Finding{
			Code: "port-forbidden", Severity: plugin.SeverityError, Fatal: true,
			Text: "the gateway's user may not listen on its port",
			Hint: "choose gateways.NAME.port above 1023",
		},
	},
	{
		words: []string{
			"no such file or directory", "not found", "bad interpreter", "is not recognized as an internal",
		},
		pattern: regexp.MustCompile(`(?i)\benv: .*: no such file or directory|\bnot found\b|\bbad interpreter: ` +
			`|^'[^']+' is not recognized as an internal or external command`),
		symptom: never, refine: missingProgram,
		finding: doctor.Finding{Code: codeProgramMissing, Severity: plugin.SeverityError, Fatal: true},
	},
	{ // Node's own words for a file of a package that is not there
		words: []string{"cannot find module", "err_module_not_found", "module_not_found"},
		pattern: regexp.MustCompile(
			`\bCannot find (?:module|package) '|\bERR_MODULE_NOT_FOUND\b|\bcode: 'MODULE_NOT_FOUND'`),
		symptom: never,
		finding: doctor.Finding{ // another start may help: an update may be under way
			Code: "package-incomplete", Severity: plugin.SeverityError,
			Text: "a file of the gateway's program is missing: it was removed, or an update of it did not end",
			Hint: "wait for the update, or install it again (`npm install -g openclaw@latest`), then run " +
				"`gatehost start NAME`",
		},
	},
	{
		words:   []string{"emfile", "enfile", "too many open"},
		pattern: regexp.MustCompile(`\bEMFILE\b|\bENFILE\b|(?i)\btoo many open files\b`), unless: watching,
		symptom: never,
		finding: doctor.Finding{
			Code: "too-many-files", Severity: plugin.SeverityError, Text: "the gateway has more files open than it may",
			Hint: "raise the limit: `ulimit -n`, or LimitNOFILE of the service that starts gatehost",
		},
	},
	{
		words:   []string{"file watchers", ", watch"},
		pattern: watching, symptom: never,
		finding: doctor.Finding{
			Code: "watch-limit", Severity: plugin.SeverityWarning,
			Text: "the gateway can't watch its files: the user's limit of watches is used up",
			Hint: "raise it: `sysctl fs.inotify.max_user_watches=524288`, and in /etc/sysctl.d to keep it",
		},
	},
	{
		words: []string{"shared librar", "shared object", "dyld[", "glibc_", "exec format", "cannot execute"},
		pattern: regexp.MustCompile(
			`\berror while loading shared libraries:|\bcannot open shared object file\b|^dyld\[\d+\]: Library not ` +
				`loaded:|\bversion .GLIBC_[\d.]+' not found\b|\bExec format error\b|\bcannot execute binary file\b`),
		symptom: never,
		finding: doctor.Finding{
			Code: "runtime-broken", Severity: plugin.SeverityError, Fatal: true,
			Text: "the program that runs the gateway does not fit this system: a library is missing, or it is for another one",
			Hint: "install Node.js again, for this system and its version",
		},
	},
	{ // the first is 2026.9.6's own text; the codes are those of its docs/gateway/secrets
		words: []string{"http 401", "401 ", "secrets_"},
		pattern: regexp.MustCompile(
			`(?i)\bAuthentication failed \(provider returned HTTP 401\)|\bSECRETS_(?:PROVIDER_)?DEGRADED\b` +
				`|\b401\b.*\b(?:token|key)\b.*\b(?:expired|invalid|revoked)\b`),
		anyPart: true, symptom: never,
		finding: doctor.Finding{
			Code: "provider-credentials", Severity: plugin.SeverityWarning,
			Text: "a model provider refuses the gateway's key or token, or it cannot be had: it may have expired",
			Hint: "run `openclaw models status` to see which, then log in there again or replace the key",
		},
	},
	{
		words:   []string{"cert_not_yet_valid", "not yet valid"},
		pattern: regexp.MustCompile(`(?i)\bCERT_NOT_YET_VALID\b|\bcertificate is not yet valid\b`), symptom: never,
		finding: doctor.Finding{
			Code: codeClockOff, Severity: plugin.SeverityWarning,
			Text: "certificates look as if they were of the future: the machine's clock is behind",
			Hint: "set the clock: `timedatectl set-ntp true`",
		},
	},
}

const (
	codeDiskFull = "disk-full"
	codeReadOnly = "file-system-read-only"

	codeNearlyFull = "disk-nearly-full"
	never          = plugin.Symptom(-1) // no symptom of the classifier shows it
)

// watching is the limit of file watches, which the kernel calls a lack of space.
var watching = regexp.MustCompile(`(?i)\bnumber of file watchers\b|\b(?:ENOSPC|EMFILE|ENFILE)\b[^|]*, watch\b`)

// fullDisk tells a full disk from one that was full.
func fullDisk(f *doctor.Finding, c *examination) bool {
	f.Hint = "free some space in " + about(c.req.Gateway) +
		" and where TMPDIR is (`df -h`, `df -i`), then run `gatehost start`"
	switch {
	case !c.space.known:
		f.Text = "the gateway could not write: its disk is full"
	case c.nearlyFull():
		f.Text = "the gateway could not write: the disk of " + about(c.req.Gateway) + " is full"
		f.Evidence = append(f.Evidence, c.space.String())
	default:
		f.Fatal = false // the next start may find space
		f.Text = "the gateway could not write for lack of space; there is room now where its state is, so it was another " +
			"disk, or has been freed"
		f.Evidence = append(f.Evidence, c.space.String())
	}
	return true
}

var filePattern = regexp.MustCompile(`'([^']+)'`)

// inside accepts only a file of the gateway. Its name is in the words, between quotes.
func inside(f *doctor.Finding, c *examination) bool { return c.fileIn(f.Evidence) != "" }

func closedFile(f *doctor.Finding, c *examination) bool {
	file := c.fileIn(f.Evidence)
	if file == "" {
		return false
	}
	f.Text = "the gateway's user may not use " + file
	f.Hint = "give it to the user that runs the gateway: `chown -R USER " + about(c.req.Gateway) + "`"
	if who := c.machine.owner(about(c.req.Gateway)); who != "" {
		f.Evidence = append(f.Evidence, about(c.req.Gateway)+" belongs to "+who)
	}
	return true
}

var tempDir = regexp.MustCompile(`\bUnsafe fallback OpenClaw temp dir: (/[A-Za-z0-9_./@+-]+)`)

func unsafeTemp(f *doctor.Finding, c *examination) bool {
	dir := ""
	for _, w := range f.Evidence {
		if m := tempDir.FindStringSubmatch(w); m != nil {
			dir = m[1]
			break
		}
	}
	f.Text = "the gateway can't use its temporary directory"
	f.Hint = "give it to the user that runs the gateway, with mode 700, then run `gatehost start NAME`"
	if dir == "" {
		return true
	}
	f.Text += " " + dir + ": another user owns it, or its parent is closed"
	f.Hint = "run `ls -ld " + dir + "`; " + f.Hint + "; HOME has to be that user's own"
	if who := c.machine.owner(dir); who != "" {
		f.Evidence = append(f.Evidence, dir+" belongs to "+who)
	}
	return true
}

var nodeVersion = regexp.MustCompile(`\bNode(?:\.js)? v?(\d+\.\d+\.\d+)\b`)

func oldNode(f *doctor.Finding, _ *examination) bool {
	f.Text, f.Hint = "the gateway does not support the Node.js that runs it",
		"install Node 26 and put the directory of its `node` first in launch.path_prepend"
	for _, w := range f.Evidence {
		if m := nodeVersion.FindStringSubmatch(w); m != nil {
			f.Text = "the gateway does not support Node " + m[1] + ", which runs it"
			break
		}
	}
	return true
}

var holder = regexp.MustCompile(`\(held by pid (\d+)\)`)

func migration(f *doctor.Finding, c *examination) bool {
	f.Text = "another OpenClaw process is migrating " + about(c.req.Gateway)
	f.Hint = "wait until it has finished, then run `gatehost start`"
	for _, w := range f.Evidence {
		if m := holder.FindStringSubmatch(w); m != nil {
			f.Text += " (pid " + m[1] + ")"
			break
		}
	}
	return true
}

func memory(f *doctor.Finding, _ *examination) bool {
	f.Text, f.Hint = "the machine had no memory left for the gateway",
		"give the machine or the gateway's container more memory, or end what else runs there"
	// heap, Reached heap limit
	if slices.ContainsFunc(f.Evidence, func(w string) bool { return strings.Contains(w, "eap") }) {
		f.Text = "the gateway used up the memory that Node.js gives it (JavaScript heap out of memory)"
		f.Hint = "set NODE_OPTIONS = \"--max-old-space-size=4096\" (MiB) in [gateways.NAME.launch.env] of config.toml, if " +
			"the machine has as much memory (`free -m`), then run `gatehost config reload` and `gatehost restart NAME`"
	}
	return true
}

var tellsOwner = regexp.MustCompile(`^- (pid \d+ .*)$`)

func takenPort(f *doctor.Finding, c *examination) bool {
	f.Text = fmt.Sprintf("another process listens on the gateway's port %d", c.req.Gateway.Port)
	for _, w := range c.words {
		if m := tellsOwner.FindStringSubmatch(w); m != nil {
			f.Text += ": " + cut(m[1])
			break
		}
	}
	f.Hint = freePort(f.Text, c.req.Gateway.Port)
	return true
}

var portPattern = regexp.MustCompile(`(?i)(?::|\bport )(\d{1,5})\b`)

// ownPort reports whether a line is about the gateway's own port, or names none: the gateway opens other ports, too,
// and works without them.
func (c *examination) ownPort(w string) bool {
	named := portPattern.FindAllStringSubmatch(w, -1)
	return len(named) == 0 ||
		slices.ContainsFunc(named, func(m []string) bool { return m[1] == strconv.Itoa(c.req.Gateway.Port) })
}
