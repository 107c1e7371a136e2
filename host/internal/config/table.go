package config

import "encoding/json"

// Table reads a plugin's own table from a file that holds nothing else: in config.toml it is [plugins.NAME.config].
// The error is a Faults.
func Table(path string) (json.RawMessage, error) {
	data, err := read(path)
	if err != nil {
		return nil, Faults{{File: path, Message: err.Error(), Hint: hintFor(err)}}
	}
	d, raw, err := decode(path, data)
	if err != nil {
		return nil, err
	}
	var out json.RawMessage
	d.object(&out, raw, nil)
	return out, d.faults.Err()
}
