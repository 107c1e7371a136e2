package config

import "encoding/json"

// Table reads a plugin's own table from a file that holds nothing else: what stands below [plugins.NAME.config] elsewhere. The error is a
// Faults.
func Table(path string) (json.RawMessage, error) {
	data, err := read(path)
	if err != nil {
		return nil, Faults{{File: path, Message: err.Error(), Hint: hintFor(err)}}
	}
	raw, err := parseTOML(path, data)
	if err != nil {
		return nil, err
	}
	d := &decoder{file: path, where: findPositions(string(data))}
	var out json.RawMessage
	d.object(&out, raw, nil)
	return out, d.faults.err()
}
