//go:build linux

package chaos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// journal reads what the hosts wrote down, bit by bit.
type journal struct {
	dir      string
	read     map[string]int64  // by file: up to the end of the last whole line
	cursor   uint64            // the newest
	series   map[string]uint64 // the newest of each series
	problems []string
	counted  map[string]*counted // by launch
}

// counted is what the journal has of one launch's numbered lines.
type counted struct {
	seen  map[int]int    // how often each number
	last  map[string]int // by stream: they come in order
	most  int
	wrong []string
}

func newJournal(dir string) *journal {
	return &journal{dir: dir, read: map[string]int64{}, series: map[string]uint64{}, counted: map[string]*counted{}}
}

func (j *journal) of(launch string) *counted {
	c := j.counted[launch]
	if c == nil {
		c = &counted{seen: map[int]int{}, last: map[string]int{}}
		j.counted[launch] = c
	}
	return c
}

// follow reads what is new.
func (j *journal) follow() error {
	files, err := filepath.Glob(filepath.Join(j.dir, "*.jsonl"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there is no journal in %s", j.dir)
	}
	slices.Sort(files) // their names are numbers of equal length
	for _, path := range files {
		if err := j.file(path); err != nil {
			return err
		}
	}
	return nil
}

func (j *journal) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	at := j.read[path]
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1] // the rest is being written, or a killed host left it
	first := at == 0
	j.read[path] = at + int64(len(data))
	for line := range bytes.Lines(data) {
		if first {
			first = false // the header
			continue
		}
		j.line(path, line)
	}
	return nil
}

func (j *journal) line(path string, line []byte) {
	var e struct {
		Cursor  uint64 `json:"cursor"`
		Gateway string `json:"gateway"`
		Type    string `json:"type"`
		Data    struct {
			LaunchID string `json:"launchId"`
			Stream   string `json:"stream"`
			Text     string `json:"text"`
		} `json:"data"`
	}
	var kind struct {
		Type string `json:"type"`
	}
	err := json.Unmarshal(line, &kind)
	if err == nil && kind.Type == "gateway.output" {
		err = json.Unmarshal(line, &e)
	} else if err == nil {
		var bare struct {
			Cursor uint64 `json:"cursor"`
		}
		err = json.Unmarshal(line, &bare)
		e.Cursor = bare.Cursor
	}
	_, series, _ := strings.Cut(filepath.Base(path), ".") // behind the number
	last := j.series[series]
	switch {
	case err != nil:
		j.problems = append(j.problems, fmt.Sprintf("%s: %v: %.200s", filepath.Base(path), err, line))
		return
	case e.Cursor <= last:
		j.problems = append(j.problems, fmt.Sprintf("%s: cursor %d after %d", filepath.Base(path), e.Cursor, last))
	}
	j.series[series] = max(last, e.Cursor)
	j.cursor = max(j.cursor, e.Cursor)
	var n int
	var launch string
	if !strings.HasPrefix(e.Data.Text, "count ") {
		return
	}
	if _, err := fmt.Sscanf(e.Data.Text, "count %d of %s", &n, &launch); err != nil || launch != e.Data.LaunchID {
		j.problems = append(j.problems,
			fmt.Sprintf("a counted line of launch %s says %q: %v", e.Data.LaunchID, e.Data.Text, err))
		return
	}
	c := j.of(launch)
	c.seen[n]++
	if c.seen[n] == 2 && len(c.wrong) < 5 {
		c.wrong = append(c.wrong, fmt.Sprintf("line %d is there again, as event %d", n, e.Cursor))
	}
	if last := c.last[e.Data.Stream]; n <= last && c.seen[n] == 1 && len(c.wrong) < 5 {
		c.wrong = append(c.wrong, fmt.Sprintf("line %d comes after line %d of %s", n, last, e.Data.Stream))
	}
	c.last[e.Data.Stream] = max(c.last[e.Data.Stream], n)
	c.most = max(c.most, n)
}

// missing is the numbers up to n that are not there, as text; empty when there are none.
func (c *counted) missing(n int) string {
	var ranges []string
	for i := 1; i <= n; i++ {
		if c.seen[i] > 0 {
			continue
		}
		from := i
		for i < n && c.seen[i+1] == 0 {
			i++
		}
		ranges = append(ranges, fmt.Sprintf("%d..%d", from, i))
	}
	return strings.Join(ranges, " ")
}
