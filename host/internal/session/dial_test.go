package session_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func TestHelloIsKept(t *testing.T) { // B133
	g := gateway(t, &gatewaytest.Server{})
	o := options(g)
	o.Device = device(t)
	h := dial(t, o).Hello()
	if h.Protocol != 4 || h.Version != gatewaytest.Version || h.BootID != g.BootID() || h.ConnID == "" ||
		h.BuildID == "" {
		t.Errorf("hello = %+v", h)
	}
	if len(h.Methods) < 400 || len(h.Events) < 60 || h.TickInterval != 30*time.Second || h.MaxPayload != 26214400 ||
		len(h.Snapshot) == 0 {
		t.Errorf("methods %d, events %d, tick %v, payload %d", len(h.Methods), len(h.Events), h.TickInterval,
			h.MaxPayload)
	}
	if strings.Join(h.Scopes, " ") != "operator.read operator.write operator.admin" {
		t.Errorf("scopes = %v", h.Scopes)
	}
}

func TestEachRefusalIsOneClearError(t *testing.T) {
	type want struct {
		code             string
		final, retryable bool
		after            time.Duration
		text             string // in message or hint
	}
	for _, row := range []struct {
		name      string
		misbehave string
		change    func(*session.Options)
		want      want
	}{
		{
			"wrong token", "", func(o *session.Options) { o.Token = "wrong" },
			want{code: "AUTH_TOKEN_MISMATCH", final: true, text: "token"},
		},
		{
			"each token refused", "refuse-token", nil,
			want{code: "AUTH_TOKEN_MISMATCH", final: true, text: "gateways.NAME.token"},
		},
		{
			"no token", "", func(o *session.Options) { o.Token, o.Device = "", nil },
			want{code: "DEVICE_IDENTITY_REQUIRED", final: true, text: "token"},
		},
		{
			"a device without a token", "", func(o *session.Options) { o.Token = "" },
			want{code: "AUTH_TOKEN_MISSING", final: true, text: "token"},
		},
		{
			"pairing", "pairing-required", nil,
			want{code: "PAIRING_REQUIRED", final: true, text: "openclaw devices approve "},
		},
		{
			"a newer protocol", "protocol=9", nil,
			want{code: "PROTOCOL_MISMATCH", final: true, text: "protocol 9, this host speaks 3 to 4"},
		},
		{
			"an older protocol", "protocol=2", nil,
			want{code: "PROTOCOL_MISMATCH", final: true, text: "upgrade the gateway"},
		},
		{
			"still starting", "sidecars-forever", nil,
			want{code: "startup-sidecars", retryable: true, after: 500 * time.Millisecond},
		},
		{"draining", "draining", nil, want{code: "upgrade_refused", retryable: true, text: "503"}},
		{"no websocket", "no-websocket", nil, want{code: "upgrade_refused", text: "HTTP 200"}},
		{"garbage", "garbage-challenge", nil, want{code: "garbage", text: "does not speak"}},
		{"binary garbage", "binary-garbage", nil, want{code: "garbage"}},
		{"an oversized challenge", "oversized-challenge", nil, want{code: "frame_too_large", text: "1048576"}},
		{"an oversized hello", "huge-hello=2000000", nil, want{code: "frame_too_large"}},
		{
			"a challenge without a nonce", "challenge-without-nonce", nil,
			want{code: "challenge_without_nonce", text: "missing nonce"},
		},
		{"closed at once", "close-at-once=1001", nil, want{code: "closed_before_handshake", text: "code 1001"}},
		{
			"try again later", "close-at-once=1013", nil,
			want{code: "closed_before_handshake", retryable: true, text: "code 1013"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := gateway(t, &gatewaytest.Server{Misbehave: row.misbehave})
			o := options(g)
			o.Device = device(t)
			if row.change != nil {
				row.change(&o)
			}
			got, w := refused(t, o), row.want
			if got.Code != w.code || got.Final != w.final || got.Retryable != w.retryable ||
				got.RetryAfter != w.after ||
				!strings.Contains(got.Message+" "+got.Hint, w.text) || !got.Retryable && got.Hint == "" {
				t.Errorf("got %+v, want %+v", got, w)
			}
			eventually(t, "the socket is cut", func() bool { return g.Sessions() == 0 }) // T059, B123, B131
		})
	}
}

func TestRequestIDOfPairingIsInTheHint(t *testing.T) {
	o := options(gateway(t, &gatewaytest.Server{Misbehave: "pairing-required"}))
	o.Device = device(t)
	hint := refused(t, o).Hint
	id := hint[strings.LastIndex(hint, " ")+1:]
	if len(id) != 36 {
		t.Errorf("hint = %q", hint)
	}
}

func TestNothingListensIsRetryable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if got := refused(t, session.Options{URL: "ws://" + addr + "/ws"}); got.Code != "refused" || !got.Retryable ||
		got.Stage != "dial" {
		t.Errorf("got %+v", got)
	}
}

func TestOlderGatewayIsSpokenTo(t *testing.T) { // protocol 3, no bootId, scopes only with a device
	g := gateway(t, &gatewaytest.Server{Misbehave: "protocol=3"})
	o := options(g)
	o.Device = device(t)
	s := dial(t, o)
	if h := s.Hello(); h.Protocol != 3 || h.Version != "2026.3.13" || h.BootID != "" {
		t.Errorf("hello = %+v", h)
	}
	if _, err := s.Call(t.Context(), "status", nil); err != nil {
		t.Errorf("with a device there are scopes: %v", err)
	}
}

func TestBinaryFramesAreReadAsText(t *testing.T) {
	s := dial(t, options(gateway(t, &gatewaytest.Server{Misbehave: "binary-frames"})))
	if _, err := s.Call(t.Context(), "health", nil); err != nil {
		t.Error(err)
	}
}

func TestNoOriginAndNoSecretInTheRequest(t *testing.T) {
	header := make(chan http.Header, 1)
	server := http.Server{
		ReadHeaderTimeout: patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			header <- r.Header
			http.Error(w, "no", http.StatusTeapot)
		}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = server.Serve(l); close(done) }()
	defer func() { _ = server.Close(); <-done }()
	got := refused(t, session.Options{URL: "ws://" + l.Addr().String() + "/ws", Token: "canary"})
	if h := <-header; h.Get("Origin") != "" || strings.Contains(strings.Join(flat(h), " "), "canary") {
		t.Errorf("header = %v", h)
	}
	if got.Code != "upgrade_refused" || !strings.Contains(got.Message, "418: no") {
		t.Errorf("got %+v", got)
	}
}

func flat(h http.Header) (out []string) {
	for k, v := range h {
		out = append(out, k, strings.Join(v, " "))
	}
	return out
}

// virtual runs a bubble in which a gateway with a misbehaviour is dialled.
func virtual(t *testing.T, g *gatewaytest.Server, run func(t *testing.T, o session.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer g.Stop()
		o := inPipe(t, g)
		time.Sleep(time.Minute) // it is ready, and slow starts are over
		run(t, o)
	})
}

func TestChallengeThatNeverComesTimesOut(t *testing.T) { // B121
	virtual(t, &gatewaytest.Server{Misbehave: "never-challenge"}, func(t *testing.T, o session.Options) {
		began := time.Now()
		// its event loop may be busy
		if got := refused(t, o); got.Code != "challenge_timeout" || got.Hint == "" || got.Stage != "challenge" ||
			!got.Retryable {
			t.Errorf("got %+v", got)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v, want 10 s", took)
		}
	})
}

func TestChallengeLimitBeginsBeforeTheConnection(t *testing.T) { // B122
	virtual(t, &gatewaytest.Server{Misbehave: "slow-challenge=6000"}, func(t *testing.T, o session.Options) {
		through := o.NetDial
		o.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(5 * time.Second)
			return through(ctx, network, addr)
		}
		began := time.Now()
		if got := refused(t, o); got.Code != "challenge_timeout" || !got.Retryable {
			t.Errorf("got %+v", got)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v, want 10 s", took)
		}
	})
}

func TestSlowAnswerToConnectIsAwaited(t *testing.T) { // T057
	virtual(t, &gatewaytest.Server{Misbehave: "slow-connect=19000"}, func(t *testing.T, o session.Options) {
		s, err := session.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		hangUp(s)
	})
}

func TestAnswerToConnectThatNeverComesTimesOut(t *testing.T) { // T058
	virtual(t, &gatewaytest.Server{Misbehave: "never-answer-connect"}, func(t *testing.T, o session.Options) {
		began := time.Now()
		if got := refused(t, o); got.Code != "connect_timeout" || !got.Retryable ||
			!strings.Contains(got.Message, "Connect handshake timeout") || got.Stage != "connect" {
			t.Errorf("got %+v", got)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("took %v, want 20 s", took)
		}
	})
}

func TestWrongTokenThatIsSlowedDownIsNoTimeout(t *testing.T) { // docs/openclaw.md §6
	virtual(t, &gatewaytest.Server{Scale: 1}, func(t *testing.T, o session.Options) {
		o.Token = "wrong"
		for range 8 { // the last ones take 5 s each
			if got := refused(t, o); got.Code != "AUTH_TOKEN_MISMATCH" {
				t.Errorf("got %+v", got)
			}
		}
	})
}

func TestGivingUpEndsADialAtOnce(t *testing.T) {
	for _, misbehave := range []string{"never-challenge", "never-answer-connect"} {
		virtual(t, &gatewaytest.Server{Misbehave: misbehave}, func(t *testing.T, o session.Options) {
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("the operator said stop")
			time.AfterFunc(time.Second, func() { cancel(why) })
			began := time.Now()
			s, err := session.Dial(ctx, o)
			if err == nil {
				hangUp(s)
			}
			if !errors.Is(err, why) || time.Since(began) != time.Second {
				t.Errorf("%s: %v after %v", misbehave, err, time.Since(began))
			}
		})
	}
}

// TestWhatComesBeforeHelloIsForTheHandshakeAlone is B124 and B139: the first challenge is answered, another one and
// events that come before hello-ok reach no callback.
func TestWhatComesBeforeHelloIsForTheHandshakeAlone(t *testing.T) {
	var answered atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		say := func(text string) { _ = conn.WriteMessage(websocket.TextMessage, []byte(text)) }
		say(`{"type":"event","event":"connect.challenge","payload":{"nonce":"first","ts":1}}`)
		say(`{"type":"event","event":"connect.challenge","payload":{"nonce":"second","ts":2}}`)
		say(`{"type":"event","event":"chat","seq":1,"payload":{"early":true}}`)
		_, request, err := conn.ReadMessage()
		if err != nil {
			return
		}
		answered.Store(string(request))
		_, rest, _ := strings.Cut(string(request), `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		say(`{"type":"res","id":"` + id +
			`","ok":true,"payload":{"type":"hello-ok","protocol":4,"server":{"version":"1","connId":"c"}}}`)
		say(`{"type":"event","event":"chat","seq":2,"payload":{"early":false}}`)
		_, _, _ = conn.ReadMessage()
	}))
	defer server.Close()
	events := make(chan session.Event, 8)
	dial(t, session.Options{
		URL: "ws" + strings.TrimPrefix(server.URL, "http") + "/ws", Token: "a token", Version: "1", Device: device(t),
		OnEvent: func(e session.Event) { events <- e },
	})
	if e := <-events; string(e.Payload) != `{"early":false}` {
		t.Errorf("the first event is %+v", e)
	}
	if text, _ := answered.Load().(string); !strings.Contains(text, `"nonce":"first"`) ||
		strings.Contains(text, "second") {
		t.Errorf("the answer is %s", text)
	}
}

// TestBigFramesAreTakenWhereTheyMayCome: 65 KiB before the handshake, which is more than a gateway takes then, and 26
// MiB after it, which is more than it may send.
func TestBigFramesAreTakenWhereTheyMayCome(t *testing.T) {
	big := func(n int) string {
		return `{"type":"event","event":"big","payload":"` + strings.Repeat("x", n) + `"}`
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		say := func(text string) { _ = conn.WriteMessage(websocket.TextMessage, []byte(text)) }
		say(big(65 << 10))
		say(`{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}`)
		for {
			_, request, err := conn.ReadMessage()
			if err != nil {
				return
			}
			_, rest, _ := strings.Cut(string(request), `"id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			if strings.Contains(string(request), `"method":"connect"`) {
				say(big(65 << 10))
				say(`{"type":"res","id":"` + id +
					`","ok":true,"payload":{"type":"hello-ok","protocol":4,"server":{"version":"1","connId":"c"}}}`)
				say(big(26 << 20))
				continue
			}
			say(`{"type":"res","id":"` + id + `","ok":true,"payload":1}`)
		}
	}))
	defer server.Close()
	events := make(chan session.Event, 8)
	s := dial(t, session.Options{
		URL: "ws" + strings.TrimPrefix(server.URL, "http") + "/ws", Token: "a token", Version: "1", Device: device(t),
		OnEvent: func(e session.Event) { events <- e },
	})
	if e := <-events; e.Name != "big" || len(e.Payload) != 26<<20+2 {
		t.Errorf("event %s of %d bytes", e.Name, len(e.Payload))
	}
	if got, err := s.Call(t.Context(), "health", nil); err != nil || string(got) != "1" {
		t.Errorf("a call after it: %s, %v", got, err)
	}
}
