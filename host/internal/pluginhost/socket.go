package pluginhost

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gatehost/gatehost/shared/fault"
)

// address is where a plugin listens, as it said in its handshake.
type address struct {
	mu            sync.Mutex // guards all
	network, path string
	refused       error // why the process there was refused
}

// refuse remembers the reason: gRPC tells its callers only that there is no connection.
func (a *address) refuse(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = err
	return err
}

func (a *address) refusal() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused
}

// heard takes a handshake: "core|protocol|network|address|grpc|...".
func (a *address) heard(line string) {
	parts := strings.Split(strings.TrimSpace(line), "|")
	if len(parts) < 4 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.network, a.path = parts[2], parts[3]
}

// dial connects to a plugin that speaks without mutual TLS (transport = "socket"). Instead of certificates there are
// two proofs: the socket is in a directory that no other user can enter, and the process that answers is the one that
// we started, or one of its group.
func (p *process) dial(ctx context.Context, dir string) (net.Conn, error) {
	p.at.mu.Lock()
	network, path := p.at.network, p.at.path
	p.at.mu.Unlock()
	if network != "unix" || !strings.HasPrefix(filepath.Clean(path), filepath.Clean(dir)+string(filepath.Separator)) {
		return nil,
			p.at.refuse(fault.New(fault.PermissionDenied,
				fmt.Sprintf("it listens on %s %q, and not on a unix socket in %s", network, path, dir)).
				WithHint("with transport = \"socket\" a plugin listens in PLUGIN_UNIX_SOCKET_DIR"))
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("%T is no unix socket", conn)
	}
	if err := answers(unix, p.pid()); err != nil {
		_ = conn.Close()
		return nil, p.at.refuse(err)
	}
	return conn, nil
}
