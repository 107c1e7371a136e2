package httpapi_test

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/host/internal/httpapi"
)

func init() { //nolint:gochecknoinits // before TestMain
	roles["HTTPAPI_TEST_CONNECT"] = func(path string) int {
		if err := unix.Connect(3, &unix.SockaddrUnix{Name: path}); err != nil {
			return 1
		}
		if os.Getenv("HTTPAPI_TEST_STAY") != "" {
			_, _ = os.Stdin.Read(make([]byte, 1)) // until the test ends it
		}
		return 0
	}
}

// TestProcessThatEndedSinceItConnectedIsRefused: a plugin's process could connect, give the connection to another one
// and end, so that nothing shows whose it was.
func TestProcessThatEndedSinceItConnectedIsRefused(t *testing.T) {
	for name, stays := range map[string]bool{"ended": false, "lives": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(fd), "connection")
			defer func() { _ = f.Close() }()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			other := exec.Command(self)
			other.Env = append(os.Environ(), "HTTPAPI_TEST_CONNECT="+path)
			other.ExtraFiles = []*os.File{f}
			if stays {
				other.Env = append(other.Env, "HTTPAPI_TEST_STAY=1")
			}
			stdin, err := other.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
			if !stays {
				if err := other.Wait(); err != nil {
					t.Fatal(err)
				}
			} else {
				defer func() {
					_ = stdin.Close()
					_ = other.Wait()
				}()
			}
			asked := 0
			s := httpapi.New(httpapi.Options{Log: hclog.NewNullLogger(), IsPlugin: func(pid, _ int) bool {
				asked = pid
				return false
			}})
			taken := make(chan net.Conn, 1)
			go func() {
				defer close(taken)
				if c, err := httpapi.Door(l, s).Accept(); err == nil {
					taken <- c
				}
			}()
			if stays {
				c := <-taken
				if c == nil || asked != other.Process.Pid {
					t.Fatalf("%v; asked about %d, it is %d", c, asked, other.Process.Pid)
				}
				_ = c.Close()
				return
			}
			conn, err := net.FileConn(f)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := conn.Write([]byte("POST /v1/gateways/main/stop HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("status %d for process %s, which has ended", res.StatusCode, strconv.Itoa(asked))
			}
			_ = l.Close()
			if c := <-taken; c != nil {
				t.Error("it was admitted")
			}
		})
	}
}
