package config

import "github.com/gatehost/gatehost/host/internal/tomltext"

// Fault is one thing that is wrong with a configuration file.
type Fault = tomltext.Fault

// Faults is everything that is wrong with a file, in its order. errors.Is finds fault.ErrInvalidArgument in it.
type Faults = tomltext.Faults
