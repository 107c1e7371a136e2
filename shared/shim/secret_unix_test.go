//go:build unix

package shim_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/shim"
)

func secretOf(t *testing.T, dir string) string {
	t.Helper()
	secret, err := shim.ReadSecret(dir)
	if err != nil || len(secret) < 26 {
		t.Fatalf("secret of %d characters, %v", len(secret), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "secret")); err != nil || info.Mode() != 0o600 {
		t.Errorf("its file: %v, %v", info, err)
	}
	return string(secret)
}

func TestShimTellsAndDoesNothingWithoutTheSecretOfItsBundle(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("secret", sh("echo a-token-in-the-output; exec sleep 600")...))
	other := start(t, p.options("other", "sleep", "600"))
	hello := func(secret string) shim.Request {
		return shim.Request{Op: shim.OpHello, Versions: []int{shim.ProtocolVersion}, Secret: secret}
	}
	for name, secret := range map[string]string{
		"none": "", "a guess": strings.Repeat("A", 26), "of another launch": secretOf(t, other.Bundle.Dir),
		"a part": secretOf(t, s.Bundle.Dir)[:25], "longer": secretOf(t, s.Bundle.Dir) + "A",
	} {
		conn, answer := talk(t, s.State.Socket, hello(secret))
		if !errors.Is(answer.Error, shim.ErrForbidden) || answer.State != nil || answer.Version != 0 {
			t.Errorf("%s: %+v", name, answer)
		}
		_ = shim.WriteFrame(conn, shim.Request{Op: shim.OpSignal, Signal: "SIGKILL"}, nil)
		if _, err := shim.ReadFrame(conn, &shim.Response{}); err == nil {
			t.Errorf("%s: a request was answered", name)
		}
	}
	for _, op := range []string{shim.OpState, shim.OpOutput, shim.OpSignal, shim.OpStop, shim.OpRelease, shim.OpAttach} {
		_, answer := talk(t, s.State.Socket, shim.Request{
			Op: op, Signal: "SIGKILL", Versions: []int{shim.ProtocolVersion}, Secret: secretOf(t, s.Bundle.Dir),
		})
		if answer.Error == nil || answer.State != nil || answer.Stopped != nil {
			t.Errorf("%s without a hello: %+v", op, answer)
		}
	}
	if st, err := s.Client.State(deadline(t)); err != nil || st.Exit != nil || !s.State.Gateway.Alive() {
		t.Errorf("the gateway: %+v, %v", st, err)
	}
}

func TestLostOrSpoiledSecretLocksNoHostOut(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("lost", "sleep", "600"))
	dir, path := s.Bundle.Dir, filepath.Join(s.Bundle.Dir, "secret")
	secret := secretOf(t, dir)
	for name, spoil := range map[string]func() error{
		"removed":  func() error { return os.Remove(path) },
		"changed":  func() error { return os.WriteFile(path, []byte("another\n"), 0o600) },
		"emptied":  func() error { return os.Truncate(path, 0) },
		"too long": func() error { return os.WriteFile(path, []byte(strings.Repeat("x", 1<<20)), 0o600) },
		"a directory": func() error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, "x"), nil, 0o600))
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		c, err := shim.Connect(deadline(t), dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.Close()
		if secretOf(t, dir) != secret {
			t.Errorf("%s: another secret", name)
		}
	}
	if err := os.Rename(dir, dir+"-away"); err != nil { // a client that knows the secret needs no bundle
		t.Fatal(err)
	}
	if st, err := s.Client.State(deadline(t)); err != nil || st.Gateway != s.State.Gateway {
		t.Errorf("without the bundle: %+v, %v", st, err)
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	// with state.json, too: then only the answer to a hello says what the launch is
	for _, name := range []string{"secret", "state.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := shim.RecoverBundle(deadline(t), p.dir, dir)
	if err != nil || b.Status != shim.StatusRunning || b.State.Gateway != s.State.Gateway {
		t.Errorf("RecoverBundle = %+v, %v", b, err)
	}
}

// TestStrangersTakeNoPlaceFromAClient: none of them says a word, and there are more than the shim has places.
func TestStrangersTakeNoPlaceFromAClient(t *testing.T) {
	p := newPlace(t)
	o := p.options("flood", "sleep", "600")
	s := start(t, o)
	var strangers []net.Conn
	defer func() {
		for _, c := range strangers {
			c.Close()
		}
	}()
	for range 200 {
		c, err := (&net.Dialer{}).DialContext(deadline(t), "unix", s.State.Socket)
		if err != nil {
			t.Fatal(err)
		}
		strangers = append(strangers, c)
	}
	for range 20 {
		c, err := shim.Connect(deadline(t), o.BundleDir)
		if err != nil {
			t.Fatalf("a client beside them: %v", err)
		}
		defer c.Close()
	}
	select {
	case <-s.Client.Done():
		t.Error("the first client lost its place")
	default:
	}
	if _, err := s.Client.State(deadline(t)); err != nil {
		t.Error(err)
	}
}

func TestBundleWithoutASecretIsThatOfAnOlderShim(t *testing.T) {
	dir := t.TempDir()
	if got, err := shim.ReadSecret(dir); got != "" || err != nil {
		t.Errorf("without a file, as an older shim: %q, %v", got, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := shim.ReadSecret(dir); got != "" || err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory: %q, %v", got, err)
	}
	if shim.Secret("").Matches("") {
		t.Error("no secret is matched by none")
	}
}

// TestSecretThatIsThereIsNotWrittenAgain: another process may be reading it.
func TestSecretThatIsThereIsNotWrittenAgain(t *testing.T) {
	dir, secret := t.TempDir(), shim.NewSecret()
	path := filepath.Join(dir, "secret")
	stat := func() os.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if err := secret.Keep(dir); err != nil {
		t.Fatal(err)
	}
	first := stat()
	if err := secret.Keep(dir); err != nil || !os.SameFile(first, stat()) {
		t.Errorf("it is another file: %v", err)
	}
	if err := os.WriteFile(path, []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := secret.Keep(dir); err != nil || secretOf(t, dir) != string(secret) {
		t.Errorf("%q, %v", secretOf(t, dir), err)
	}
}
