// Package gatewaytest is a gateway that behaves as OpenClaw 2026.9.6 does towards a supervisor: the handshake with its
// device signatures and refusals, the HTTP probes, the RPC methods that a host uses, events, limits, restarts, log
// lines and exit codes. It plays no agents, channels or models. [Server] is the gateway inside a test; [RunMain] is the
// whole program, which cmd/gateway-emulator wraps. Both misbehave on request, see [Misbehaviours]. What it plays was
// measured and is compared with the real one by test/conformance-gateway. It is for tests and demos: it holds no
// secrets well and is no gateway.
//
// It imports internal/frame and gorilla/websocket and nothing else of this module, so that anybody may use it.
package gatewaytest
