// Package journal stores events on disk, so that they can be read after the host has ended.
//
// A journal is a directory of segments in series: `<first cursor, 20 digits>.jsonl` of the host's facts, and
// `<first cursor>.gateway-NAME.jsonl` of what each gateway wrote and sent. A gateway that floods its series pushes
// nothing out of another. Readers merge the series by cursor. The first line of a segment is its header, each other
// line one event as the API tells it, in order of cursors:
//
//	{"journal":1,"series":"facts","cursor":17,"time":"...","host":"1.2.3",
//	 "outputs":{"<launch id>":{"gateway":"main","cursor":4096}}}
//	{"cursor":17,"time":"...","gateway":"main","type":"gateway.state","cause":16,"data":{...}}
//
// The header says how far the output of each launch had been read when the segment began; with the lines of output in
// the newest segments it tells a new host exactly where to go on: no line is twice in a journal, and none is missing.
//
// Segments are only ever appended to. What a killed host left half written at the end is cut off by the next one; a
// power failure loses at most the last second, since files are synced once a second. When the oldest segment of a
// series is not needed any more it is removed. A segment whose header names no series is of an earlier layout, with
// facts and output in one file: it is read as part of the facts, and not continued. A segment that cannot be understood
// is set aside under another name, never removed. Lines that cannot be understood are skipped.
package journal
