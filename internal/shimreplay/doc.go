// Package shimreplay plays a recorded gatehost-shim, so that tests can adopt a gateway that an older release's shim
// holds, without that shim.
//
// A recording is a folder, shared/shim/testdata/vN:
//
//	conversations.json.gz   for each op, before and after the gateway's end, the frames of the shim in order
//	running/, ended/        the bundle's files at both times; output logs are compressed
//
// Only what names processes and places is replaced when it is played: pids, start times, boot id and socket are those
// of a real process that plays, and of a real child of it that stands for the gateway. All else is byte for byte what
// the old shim wrote.
//
// A recording of a released shim is never made anew: it is what hosts will meet for months. When the protocol grows,
// record the new shim beside it, and add its folder to the tests:
//
//	go build -o /tmp/gatehost-shim ./cmd/gatehost-shim
//	SHIM_TEST_RECORD=/tmp/gatehost-shim SHIM_TEST_RECORD_TO=v2 \
//	    go test ./shared/shim -run TestAGatewayOfAnOldShimIsAdopted
package shimreplay
