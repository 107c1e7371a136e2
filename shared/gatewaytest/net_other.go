//go:build !unix

package gatewaytest

import "strings"

func inUse(err error) bool { return strings.Contains(err.Error(), "Only one usage") }
