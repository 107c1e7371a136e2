// Command protocol-only is a stranger's gateway: the smallest program that speaks the protocol, with nothing of
// OpenClaw about it. It knows no HTTP probes and no devices, listens on 127.0.0.1 only, and answers any call with its
// own params.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

type frame struct {
	Type    string          `json:"type"`
	ID      string          `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Event   string          `json:"event,omitempty"`
	OK      *bool           `json:"ok,omitempty"`
	Payload any             `json:"payload,omitempty"`
	Error   any             `json:"error,omitempty"`
}

func main() {
	log.Print("a stranger's gateway is starting")
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", serve)
	server := &http.Server{
		Addr: "127.0.0.1:" + os.Getenv("OPENCLAW_GATEWAY_PORT"), Handler: mux, ReadHeaderTimeout: 10 * time.Second,
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		os.Exit(0)
	}()
	log.Fatal(server.ListenAndServe())
}

func serve(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	yes, no := true, false
	_ = conn.WriteJSON(frame{
		Type: "event", Event: "connect.challenge", Payload: map[string]any{"nonce": "n", "ts": time.Now().UnixMilli()},
	})
	for {
		var in frame
		if conn.ReadJSON(&in) != nil {
			return
		}
		var connect struct {
			Auth struct {
				Token string `json:"token"`
			} `json:"auth"`
		}
		switch {
		case in.Method != "connect":
			_ = conn.WriteJSON(frame{Type: "res", ID: in.ID, OK: &yes, Payload: in.Params})
		case json.Unmarshal(in.Params, &connect) != nil || connect.Auth.Token != os.Getenv("OPENCLAW_GATEWAY_TOKEN"):
			_ = conn.WriteJSON(frame{
				Type: "res", ID: in.ID, OK: &no, Error: map[string]any{"code": "UNAUTHORIZED", "message": "wrong token"},
			})
			return
		default:
			_ = conn.WriteJSON(frame{Type: "res", ID: in.ID, OK: &yes, Payload: map[string]any{
				"type": "hello-ok", "protocol": 4, "server": map[string]any{"version": "0.1", "connId": "c1"},
			}})
		}
	}
}
