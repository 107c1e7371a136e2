package shim

import "github.com/gatehost/gatehost/shared/shim/outlog"

// Item is one of Record, Line, Gap, Heartbeat, End. A stream has either records or lines.
//
//sumtype:decl
type Item interface{ item() }

// Record is bytes of one stream; its data are valid during the call only.
type Record struct{ outlog.Record }

// Gap says that output was lost before it could be read.
type Gap struct{ outlog.Gap }

// Heartbeat says that the stream is alive and has nothing new.
type Heartbeat struct{ EndOffset uint64 }

// End is the last item: there will be no more output.
type End struct {
	Exit      *Exit // nil when it is not known how it ended, or in Running
	EndOffset uint64
	EndCursor uint64 // only of a stream of lines: of the last line, at least EndOffset
	Truncated bool   // a descendant still held a pipe, or the shim died
	Running   bool   // it is not the end of the gateway, only of what was asked for
}

func (Record) item()    {}
func (Line) item()      {}
func (Gap) item()       {}
func (Heartbeat) item() {}
func (End) item()       {}
