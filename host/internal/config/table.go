package config

import (
	"encoding/json"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

// Table reads a plugin's own table from a file that holds nothing else: what stands below [plugins.NAME.config] elsewhere. The error is a
// Faults.
func Table(path string) (json.RawMessage, error) {
	data, err := read(path)
	if err != nil {
		return nil, Faults{{File: path, Message: err.Error(), Hint: hintFor(err)}}
	}
	if len(data) > maxFile {
		return nil, Faults{{File: path, Message: "cannot read configuration: larger than 1 MiB"}}
	}
	raw, err := tomltext.Decode(path, data)
	if err != nil {
		return nil, err
	}
	d := &decoder{file: path, where: tomltext.FindPositions(string(data))}
	var out json.RawMessage
	d.object(&out, raw, nil)
	return out, d.faults.Err()
}
