package shim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// The protocol, version 1. Each message is a frame: length of a JSON header and length of a payload, both 4 bytes big
// endian, then header and payload. A connection begins with a hello from the client and its answer, then requests are
// answered one by one, in order. The hello shows the secret of the launch's bundle (see ReadSecret): without it a
// client learns nothing. After the answer to output only items follow, until end; after attach nothing follows, the
// connection is what counts. Fields and ops are only ever added; unknown fields are ignored, an unknown op is answered
// with an error.

// Ops of a Request.
const (
	OpHello   = "hello"
	OpState   = "state"
	OpAttach  = "attach"
	OpOutput  = "output"
	OpSignal  = "signal"
	OpStop    = "stop"
	OpRelease = "release"
)

// Request is what a client sends.
type Request struct {
	Op       string `json:"op"`
	Versions []int  `json:"versions,omitempty"` // hello: what the client speaks
	// hello: of the bundle; added after the first release of version 1: an older shim wants none
	Secret string        `json:"secret,omitempty"`
	From   uint64        `json:"from,omitempty"`     // output: logical offset
	Follow bool          `json:"follow,omitempty"`   // output: wait for more
	Signal string        `json:"signal,omitempty"`   // signal: POSIX name
	Grace  time.Duration `json:"grace_ns,omitempty"` // stop
}

// Response answers a Request.
type Response struct {
	Error   *Failure `json:"error,omitempty"`
	Version int      `json:"version,omitempty"` // hello
	State   *State   `json:"state,omitempty"`   // hello, state
	Stopped *Stopped `json:"stopped,omitempty"` // stop
}

// Stopped is how a stop ended.
type Stopped struct {
	Exit   Exit `json:"exit"`
	Killed bool `json:"killed,omitempty"` // the grace was over before the gateway was
	Swept  int  `json:"swept,omitempty"`  // descendants that had to be ended besides
}

// Kinds of a WireItem.
const (
	ItemRecord    = "rec"
	ItemGap       = "gap"
	ItemEnd       = "end"
	ItemHeartbeat = "hb"
)

// WireItem is one piece of an output stream on the wire; the data of a record are the payload.
type WireItem struct {
	Kind   string `json:"k"`
	Offset uint64 `json:"o,omitempty"` // rec: of its first byte; gap: from; end, hb: of the end of the output
	To     uint64 `json:"to,omitempty"`
	// gap: lines that ended before To; added after the first release of version 1
	ToLine uint64        `json:"tl,omitempty"`
	At     int64         `json:"at,omitempty"` // Unix nanoseconds
	Stream outlog.Stream `json:"s,omitempty"`
	Flags  uint8         `json:"f,omitempty"`
	Exit   *Exit         `json:"exit,omitempty"` // end: nil when the gateway still runs
}

// Bounds of a frame, in bytes.
const (
	maxHeader  = 1 << 20
	maxPayload = 1 << 20
	maxHello   = 4 << 10 // of header and payload of what a stranger sends first
)

// WriteFrame sends header as JSON, with a payload. It makes one Write.
func WriteFrame(w io.Writer, header any, payload []byte) error {
	h, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("cannot send frame: %w", err)
	}
	if len(h) > maxHeader || len(payload) > maxPayload {
		return fmt.Errorf("cannot send frame: header of %d and payload of %d bytes are too large", len(h), len(payload))
	}
	b := make([]byte, 8, 8+len(h)+len(payload))
	binary.BigEndian.PutUint32(b, uint32(len(h)))
	binary.BigEndian.PutUint32(b[4:], uint32(len(payload)))
	b = append(append(b, h...), payload...)
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("cannot send frame: %w", err)
	}
	return nil
}

// ReadFrame reads one frame into header and answers its payload. io.EOF says that the peer closed between two frames.
func ReadFrame(r io.Reader, header any) ([]byte, error) {
	return readFrame(r, header, maxHeader, maxPayload)
}

// ReadHello reads the first frame of a connection, whose sender is not known yet.
func ReadHello(r io.Reader) (Request, error) {
	var hello Request
	_, err := readFrame(r, &hello, maxHello, maxHello)
	return hello, err
}

func readFrame(r io.Reader, header any, mostHeader, mostPayload uint32) ([]byte, error) {
	var lengths [8]byte
	if _, err := io.ReadFull(r, lengths[:]); err != nil {
		return nil, err
	}
	h, p := binary.BigEndian.Uint32(lengths[:]), binary.BigEndian.Uint32(lengths[4:])
	if h > mostHeader || p > mostPayload {
		return nil, fmt.Errorf("cannot read frame: header of %d and payload of %d bytes are too large", h, p)
	}
	b := make([]byte, h+p)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("cannot read frame: cut off: %w", io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(b[:h], header); err != nil {
		return nil, fmt.Errorf("cannot read frame: %w", err)
	}
	return b[h:], nil
}
