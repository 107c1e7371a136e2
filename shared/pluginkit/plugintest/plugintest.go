// Package plugintest runs a plugin in the process of its test: the same gRPC server and adapters as pluginkit.Serve,
// over a connection in memory, without a host, a process or a socket.
//
//	conn, err := plugintest.Dial(plugin())
//	...
//	defer conn.Close()
//	diagnosis, err := doctor.NewClient(conn).Diagnose(ctx, req)
//
// pluginkit.NewClient(conn) is the way to Describe and Configure.
package plugintest

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gatehost/gatehost/shared/pluginkit"
)

// Conn is a connection to a plugin; give it to the NewClient of a kind. Safe for concurrent use.
type Conn struct {
	*grpc.ClientConn

	server *grpc.Server
	cancel context.CancelFunc
	served chan struct{}
}

// Dial serves p and connects to it.
func Dial(p pluginkit.Plugin) (*Conn, error) {
	host, cancel := context.WithCancel(context.Background())
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(pluginkit.ServerOptions(host)...)
	pluginkit.Register(s, p)
	cc, err := grpc.NewClient("passthrough:plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(pluginkit.MaxMessage),
			grpc.MaxCallSendMsgSize(pluginkit.MaxMessage)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		cancel()
		return nil, errors.Join(err, l.Close())
	}
	c := &Conn{ClientConn: cc, server: s, cancel: cancel, served: make(chan struct{})}
	go func() {
		defer close(c.served)
		_ = s.Serve(l)
	}()
	return c, nil
}

// HostGoes ends the contexts of all calls, as the death of a host does.
func (c *Conn) HostGoes() { c.cancel() }

// Close ends the connection and waits for the plugin's calls.
func (c *Conn) Close() error {
	c.cancel()
	err := c.ClientConn.Close()
	c.server.Stop()
	<-c.served
	return err
}
