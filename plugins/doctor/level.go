package openclawdoctor

import (
	"encoding/json"
	"strings"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

// parsed is the shape of a line, as far as a level or an origin can be read from it.
type parsed struct {
	dated     bool
	subsystem string // of OpenClaw's `ISO [subsystem] text`
	json      bool
	level     classifier.Level // that the line itself states; 0 when it does not
}

// parse reads the shape of a trimmed line without colour codes (B296).
func parse(s string) parsed {
	if s[0] == '{' {
		return parseJSON(s)
	}
	if level := syslogLevel(s); level != 0 {
		return parsed{level: level}
	}
	var p parsed
	rest := s
	if after, ok := cutTimestamp(s); ok {
		p.dated, rest = true, after
	}
	if tag, ok := bracketed(rest); ok {
		if level := levelWord(tag); level != 0 && strings.ToUpper(tag) == tag {
			p.level = level // hclog's text form
			return p
		}
		if isSubsystem(tag) {
			p.subsystem = tag
			return p
		}
	}
	if !p.dated {
		p.level = logfmtLevel(rest)
	}
	return p
}

// defaultLevel returns the level of a line that states none: OpenClaw writes INFO to stdout, WARN and ERROR to stderr,
// in one format (docs/openclaw.md §4). An unknown line on stderr stays a warning (B296).
func (p parsed) defaultLevel(stream plugin.Stream) classifier.Level {
	switch {
	case p.level != 0:
		return p.level
	case stream == plugin.Stdout:
		return classifier.LevelInfo
	default:
		return classifier.LevelWarn
	}
}

// parseJSON reads hclog's and pino's form, and OpenClaw's JSON console style.
func parseJSON(s string) parsed {
	var line struct {
		HCLog     string          `json:"@level"`
		Level     json.RawMessage `json:"level"`
		Subsystem string          `json:"subsystem"`
	}
	if err := json.Unmarshal([]byte(s), &line); err != nil {
		return parsed{json: true}
	}
	p := parsed{json: true, subsystem: line.Subsystem, level: levelWord(line.HCLog)}
	var word string
	var number float64
	switch {
	case p.level != 0 || line.Level == nil:
	case json.Unmarshal(line.Level, &word) == nil:
		p.level = levelWord(word)
	case json.Unmarshal(line.Level, &number) == nil:
		p.level = pinoLevel(number)
	}
	return p
}

func pinoLevel(n float64) classifier.Level {
	switch {
	case n >= 50 && n <= 60:
		return classifier.LevelError
	case n >= 40 && n < 50:
		return classifier.LevelWarn
	case n >= 30 && n < 40:
		return classifier.LevelInfo
	case n >= 10 && n < 30:
		return classifier.LevelDebug
	default:
		return 0
	}
}

func levelWord(word string) classifier.Level {
	switch fold(word) {
	case "trace", "debug":
		return classifier.LevelDebug
	case "info", "notice":
		return classifier.LevelInfo
	case "warn", "warning":
		return classifier.LevelWarn
	case "error", "err", "fatal", "critical", "panic":
		return classifier.LevelError
	default:
		return 0
	}
}

// syslogLevel reads sd-daemon's prefix, `<6>text`.
func syslogLevel(s string) classifier.Level {
	if len(s) < 3 || s[0] != '<' || s[2] != '>' {
		return 0
	}
	switch s[1] {
	case '0', '1', '2', '3':
		return classifier.LevelError
	case '4':
		return classifier.LevelWarn
	case '5', '6':
		return classifier.LevelInfo
	case '7':
		return classifier.LevelDebug
	default:
		return 0
	}
}

// logfmtLevel reads `level=debug`, at the start of a word.
func logfmtLevel(s string) classifier.Level {
	const key = "level="
	for from := 0; ; {
		i := strings.Index(s[from:], key)
		if i < 0 {
			return 0
		}
		i += from
		from = i + len(key)
		if i > 0 && s[i-1] != ' ' {
			continue
		}
		value, _, _ := strings.Cut(s[from:], " ")
		if level := levelWord(strings.Trim(value, `"`)); level != 0 {
			return level
		}
	}
}

// cutTimestamp removes an ISO 8601 time and the space after it.
func cutTimestamp(s string) (string, bool) {
	const shape = "0000-00-00T00:00:00"
	if len(s) <= len(shape) {
		return s, false
	}
	for i := range len(shape) {
		if shape[i] == '0' && (s[i] < '0' || s[i] > '9') || shape[i] != '0' && s[i] != shape[i] {
			return s, false
		}
	}
	end := strings.IndexByte(s[:min(len(s), 40)], ' ')
	if end < 0 {
		return s, false
	}
	return s[end+1:], true
}

// bracketed is the content of the brackets that s begins with.
func bracketed(s string) (string, bool) {
	if s == "" || s[0] != '[' {
		return "", false
	}
	end := strings.IndexByte(s[:min(len(s), 64)], ']')
	if end < 2 {
		return "", false
	}
	return s[1:end], true
}

func isSubsystem(tag string) bool {
	for i := range len(tag) {
		c := tag[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("/-_.:", rune(c)) {
			return false
		}
	}
	return tag[0] >= 'a' && tag[0] <= 'z'
}
