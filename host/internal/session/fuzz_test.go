package session_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/host/internal/session"
)

// FuzzSession is a gateway that says anything at any moment: before the challenge, instead of the answer to connect,
// and after it. Each line of the input is a frame; the first byte of the input says when to be sensible. Whatever
// comes, a dial ends, a call ends, and a close leaves nothing (TestMain looks for goroutines).
func FuzzSession(f *testing.F) {
	const hello = `{"type":"res","id":"connect-1","ok":true,"payload":{"type":"hello-ok","protocol":4,` +
		`"server":{"version":"1","connId":"c"},"features":{"methods":[]}}}`
	for _, seed := range []string{
		"\x00", "\x01{}\n[]", "\x02null\n\"\"\n{\"type\":\"event\"}", "\x03" + hello +
			"\n{\"type\":\"res\",\"id\":\"1\",\"ok\":true}",
		"\x07{\"type\":\"event\",\"event\":\"shutdown\",\"payload\":{\"restartExpectedMs\":-1}}\n" +
			"{\"jsonrpc\":\"2.0\",\"id\":0}",
		"\x07{\"type\":\"res\",\"id\":1e999}\n{\"type\":\"event\",\"event\":\"tick\",\"seq\":1e400}\n\xff\xfe",
		"\x03{\"type\":\"res\",\"ok\":false,\"error\":{\"code\":\"UNAVAILABLE\",\"retryable\":true,\"retryAfterMs" +
			"\":-9223372036854775808}}",
		"\x03{\"type\":\"res\",\"ok\":false,\"error\":{\"retryAfterMs\":86400000000000,\"details\":{\"code\":[]}}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 || len(input) > 64<<10 {
			return
		}
		g := &talker{when: input[0], frames: bytes.Split(input[1:], []byte("\n"))}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(l)
		}()
		defer func() {
			_ = server.Close()
			<-served
		}()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		s, err := session.Dial(ctx, session.Options{
			URL: "ws://" + l.Addr().String() + "/ws", Token: "a token", Version: "1",
			ChallengeTimeout: 200 * time.Millisecond,
			ConnectTimeout:   200 * time.Millisecond, OnEvent: func(session.Event) {},
		})
		if ctx.Err() != nil {
			t.Fatal("the dial did not end")
		}
		if err != nil {
			return
		}
		call, done := context.WithTimeout(ctx, 100*time.Millisecond)
		_, _ = s.Call(call, "health", nil)
		done()
		s.Close(ctx)
		if ctx.Err() != nil {
			t.Fatal("the close did not end")
		}
	})
}

// talker speaks as it is told to.
type talker struct {
	when   byte
	frames [][]byte
}

func (g *talker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	say := func(frames ...[]byte) {
		for _, f := range frames {
			kind := websocket.TextMessage
			if g.when&8 != 0 {
				kind = websocket.BinaryMessage
			}
			_ = conn.WriteMessage(kind, f)
		}
	}
	if g.when&1 == 0 {
		say(g.frames...)
	}
	say([]byte(`{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}`))
	_, request, err := conn.ReadMessage()
	if err != nil {
		return
	}
	if g.when&2 != 0 {
		say(g.frames...)
	}
	if g.when&4 != 0 {
		id := []byte("connect-1")
		if _, rest, ok := bytes.Cut(request, []byte(`"id":"`)); ok {
			id, _, _ = bytes.Cut(rest, []byte(`"`))
		}
		say([]byte(`{"type":"res","id":"` + string(id) +
			`","ok":true,"payload":{"type":"hello-ok","protocol":4,"server":{"version":"1","connId":"c"}}}`))
		say(g.frames...)
		say(g.frames...) // and again: two answers for one id
	}
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
		say(g.frames...)
	}
}
