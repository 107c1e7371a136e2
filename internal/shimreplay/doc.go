// Package shimreplay plays a recorded gatehost-shim, so that tests can adopt a gateway that an older release's shim
// holds, without that shim.
//
// A recording is a folder, shared/shim/testdata/vN:
//
//	conversations.json.gz   what the shim said on its socket: for each op, before and after the gateway's end,
//	                        the frames in order
//	running/, ended/        the bundle's files at both times; output logs are compressed
//
// Only names of processes and places are replaced when it is played: pids, start times, boot id and socket are those of
// a real process that plays, and of a real child of it that takes the gateway's part. All else is byte for byte what
// the old shim wrote.
//
// A recording of a released shim is never made anew: it is what hosts will meet for months. When the protocol grows,
// record the new shim beside it, and add its folder to the tests:
//
//	make build
//	SHIM_TEST_RECORD=$PWD/bin/gatehost-shim SHIM_TEST_RECORD_TO=v2 \
//		go test ./shared/shim -run TestAGatewayOfAnOldShimIsAdopted
package shimreplay
