package openclawdoctor

import (
	"bytes"
	"math"
	"strconv"

	"github.com/gatehost/gatehost/shared/classifier"
)

var tracePattern = compile(`startup trace:\s+([^\s]+)\s+(\d+(?:\.\d+)?)ms(?:\s+total=(\d+(?:\.\d+)?)ms)?`)

// stageOf reads a stage of the start (B301) from a line; folded is text in lower case, with the same offsets.
func stageOf(text string, folded []byte) *classifier.Stage {
	if !bytes.Contains(folded, []byte("startup trace:")) {
		return nil
	}
	at := tracePattern.FindSubmatchIndex(folded)
	if at == nil {
		return nil
	}
	duration, ok := milliseconds(text[at[4]:at[5]])
	if !ok {
		return nil
	}
	stage := &classifier.Stage{Name: text[at[2]:at[3]], DurationMs: duration}
	if at[6] >= 0 {
		if total, ok := milliseconds(text[at[6]:at[7]]); ok {
			stage.TotalMs = &total
		}
	}
	return stage
}

func milliseconds(s string) (float64, bool) {
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && !math.IsInf(n, 0)
}
