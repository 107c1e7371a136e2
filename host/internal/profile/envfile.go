package profile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/trustfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// maxEnvFile bounds an env_file in bytes.
const maxEnvFile = 1 << 20

// envFile is an env_file that was read.
type envFile struct {
	values map[string]string
	lines  map[string]int // where each variable is set last
	// remarks name lines whose value people, or docker, read in another way; never a value
	remarks []string
}

// readEnvFile reads a file of variables; trusted says that no other user may be able to read or change it.
func readEnvFile(path string, trusted bool) (envFile, error) {
	if _, err := config.SecretFile(path); err != nil && trusted {
		return envFile{}, fault.Wrap(fault.PermissionDenied, "cannot read launch.env_file", err).WithHint(hintOf(err))
	}
	data, err := foreignfile.Read(path, maxEnvFile)
	if err != nil {
		return envFile{}, fmt.Errorf("cannot read launch.env_file: %w", err)
	}
	f, err := parseEnvFile(string(data))
	if err != nil { // the line itself may hold a secret: the error has its number only
		return envFile{}, fmt.Errorf("cannot read launch.env_file %s: %w", path, err)
	}
	return f, nil
}

// hintOf returns what to do about a file that is not trusted.
func hintOf(err error) string {
	if p, ok := errors.AsType[*trustfile.Problem](err); ok {
		return p.Hint
	}
	return ""
}

// variable is what a name may be: systemd ignores any other, and docker refuses white space.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// parseEnvFile reads NAME=value lines as systemd reads an EnvironmentFile, which is what a shell would make of them
// without expansions. A byte order mark and a leading "export" are skipped, as docker and docker compose do.
//
// Blank lines, and lines that begin with # or ;, are skipped. Spaces around name and value are cut. A value in single
// quotes is as it stands. In double quotes a backslash before ", \\, ` or $ is removed, and a line that ends with a
// backslash continues. A value in quotes may have several lines; what follows it directly is joined. Outside of
// quotes a backslash is removed, and a # does not begin a comment.
//
// `docker run --env-file` differs: it keeps quotes and backslashes as a part of the value, and knows no value of
// several lines.
func parseEnvFile(text string) (envFile, error) {
	p := envParser{
		text: strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), "\ufeff"), line: 1,
		out: envFile{values: map[string]string{}, lines: map[string]int{}},
	}
	for p.text != "" {
		if err := p.entry(); err != nil {
			return envFile{}, err
		}
	}
	return p.out, nil
}

// envParser is the rest of a file, and what was read before it.
type envParser struct {
	text string
	line int // of the beginning of text
	out  envFile
}

// entry reads one line, or one value of several.
func (p *envParser) entry() error {
	line, _, _ := strings.Cut(p.text, "\n")
	at := p.line
	if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';' {
		p.take(min(len(line)+1, len(p.text)))
		return nil
	}
	name, _, found := strings.Cut(line, "=")
	p.take(min(len(name)+1, len(p.text)))
	name = strings.TrimSpace(name)
	if words := strings.Fields(name); len(words) == 2 && words[0] == "export" {
		name = words[1]
	}
	if !found || !variable.MatchString(name) {
		return fmt.Errorf("line %d is not NAME=value", at)
	}
	value, remark, err := p.value()
	if err != nil {
		return fmt.Errorf("line %d: the value of %s %w", at, name, err)
	}
	if remark != "" {
		p.out.remarks = append(p.out.remarks, fmt.Sprintf("line %d: the value of %s %s", at, name, remark))
	}
	p.out.values[name], p.out.lines[name] = value, at
	return nil
}

func (p *envParser) take(n int) string {
	taken := p.text[:n]
	p.text = p.text[n:]
	p.line += strings.Count(taken, "\n")
	return taken
}

// value reads up to the end of the line that ends the value.
func (p *envParser) value() (value, remark string, err error) {
	var out strings.Builder
	for {
		p.take(len(p.text) - len(strings.TrimLeft(p.text, " \t\r")))
		switch {
		case strings.HasPrefix(p.text, "'"), strings.HasPrefix(p.text, `"`):
			err := p.quoted(&out, p.take(1)[0])
			if err != nil {
				return "", "", err
			}
			continue
		}
		plain, remark := p.plain(out.Len() > 0)
		out.WriteString(plain)
		if strings.ContainsRune(out.String(), 0) {
			return "", "", errors.New("contains a NUL")
		}
		return out.String(), remark, nil
	}
}

// quoted reads what stands between quotes; the first one was taken.
func (p *envParser) quoted(out *strings.Builder, quote byte) error {
	for p.text != "" {
		c := p.take(1)[0]
		switch {
		case c == quote:
			return nil
		case c == '\\' && quote == '"' && p.text != "":
			switch next := p.take(1)[0]; {
			case next == '\n': // the line continues
			case strings.IndexByte("\"\\`$", next) >= 0:
				out.WriteByte(next)
			default:
				out.WriteByte(c)
				out.WriteByte(next)
			}
		default:
			out.WriteByte(c)
		}
	}
	return errors.New("has a quote without an end")
}

// plain reads the rest of a value outside of quotes; behind says that something stands before it.
func (p *envParser) plain(behind bool) (value, remark string) {
	var out strings.Builder
	keep := 0 // up to here spaces are not cut: they were written with a backslash
	for p.text != "" {
		c := p.take(1)[0]
		if c == '\n' {
			break
		}
		if c != '\\' || p.text == "" {
			out.WriteByte(c)
			continue
		}
		if next := p.take(1)[0]; next != '\n' {
			out.WriteByte(next)
			keep = out.Len()
			remark = "has a backslash outside of quotes, which is removed, as systemd does and docker does not; " +
				"write it in single quotes to keep it"
		}
	}
	value = out.String()
	value = value[:keep] + strings.TrimRight(value[keep:], " \t\r")
	if strings.Contains(value, " #") || behind && strings.HasPrefix(value, "#") {
		remark = "contains a #, which is a part of it and begins no comment, as for systemd and docker"
	}
	return value, remark
}
