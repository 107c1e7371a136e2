package gateway

import (
	"strings"

	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/internal/redact"
)

// maxTrace is how much of a frame is shown, in bytes; a hello has 20 kB.
const maxTrace = 4 << 10

// traceFrames logs the frames of the gateway's sessions when [log] frames says so, with their secrets hidden by name and by value (B352).
func (c *core) traceFrames(redactor *redact.Redactor) func(sent bool, data []byte) {
	if !c.Settings().Frames {
		return nil
	}
	log := c.log.Named("frames")
	return func(sent bool, data []byte) {
		direction := "in"
		if sent {
			direction = "out"
		}
		text := string(frame.Redact(data, redactor))
		if len(text) > maxTrace {
			text = strings.ToValidUTF8(text[:maxTrace], "") + "…"
		}
		log.Info(frame.Summary(data), "direction", direction, "bytes", len(data), "frame", text)
	}
}
