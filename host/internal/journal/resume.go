package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
)

// resume continues each series with the newest segment that it can read.
func (j *Journal) resume() (remarks []error) {
	all, err := j.Reader.segments()
	if err != nil {
		return []error{err}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		remarks = append(remarks, j.resumeSeries(name, all[name])...)
	}
	return remarks
}

func (j *Journal) resumeSeries(name string, all []segment) (remarks []error) {
	for ; len(all) > 0; all = all[:len(all)-1] {
		newest := all[len(all)-1]
		h, end, err := j.load(newest)
		switch {
		case err != nil:
			aside := fmt.Sprintf("%s.broken-%d", newest.path, time.Now().UnixNano())
			if renamed := os.Rename(newest.path, aside); renamed != nil {
				j.last = max(j.last, newest.first) // cursors must not repeat
				return append(remarks,
					fmt.Errorf("cannot use journal file %s (%w), and cannot set it aside: %w", newest.path, err,
						renamed))
			}
			j.last = max(j.last, newest.first)
			remarks = append(remarks,
				fmt.Errorf("journal file %s was set aside as %s: %w", newest.path, filepath.Base(aside), err))
			continue
		case name == facts && h.Series != facts:
			return remarks // of an earlier layout, it holds output, too: facts begin a new one
		default:
			return append(remarks, j.takeUp(j.seriesOf(name), newest, end)...)
		}
	}
	return remarks
}

// load reads a segment's places and last cursor; end is where its last complete line ends.
func (j *Journal) load(s segment) (h header, end int64, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return h, 0, err
	}
	defer f.Close()
	lines := newLines(f)
	first, err := lines.next()
	if err != nil {
		return h, 0, errors.New("it has no header")
	}
	if h, err = parseHeader(first); err != nil {
		return h, 0, err
	}
	for launch, p := range h.Outputs { // the headers of other series may be older
		if p.Cursor >= j.outputs[launch].Cursor {
			j.outputs[launch] = p
		}
	}
	j.last = max(j.last, max(h.Cursor, 1)-1)
	end = lines.read
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return h, end, nil
		}
		if err != nil {
			return h, end, err
		}
		end = lines.read
		j.learn(line)
	}
}

// learn takes the cursor of a line, and the place in an output that it describes.
func (j *Journal) learn(line []byte) {
	cursor, _, ok := peek(line)
	if !ok {
		return
	}
	j.last = max(j.last, cursor)
	if !bytes.Contains(line, outputType) {
		return
	}
	var l struct {
		Gateway string `json:"gateway"`
		Data    struct {
			LaunchID string `json:"launchId"`
			Cursor   uint64 `json:"cursor"`
			Line     uint64 `json:"line"`
			Symptom  string `json:"symptom"`
			Text     string `json:"text"`
		} `json:"data"`
	}
	if json.Unmarshal(line, &l) != nil || l.Data.LaunchID == "" {
		return
	}
	if p := j.outputs[l.Data.LaunchID]; l.Data.Cursor >= p.Cursor {
		j.outputs[l.Data.LaunchID] = p.after(l.Gateway, l.Data.Cursor, l.Data.Line, l.Data.Symptom, l.Data.Text)
	}
}

var outputType = []byte(`"type":"` + string(events.GatewayOutput) + `"`)

// takeUp opens the newest segment of a series to append to it. It cuts off a half line at the end.
func (j *Journal) takeUp(to *series, s segment, end int64) []error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return []error{fmt.Errorf("cannot continue the journal: %w", err)} // the first event tries a new segment
	}
	info, err := f.Stat()
	if err == nil && info.Size() > end {
		err = f.Truncate(end)
	}
	if err != nil {
		return []error{fmt.Errorf("cannot continue journal file %s: %w", s.path, err), f.Close()}
	}
	to.file, to.size = f, end
	return nil
}
