package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/store"
)

// TestUnloadedServicesAreKeptUntilTheyAreForgotten, and a record that cannot be read hides no other.
func TestUnloadedServicesAreKeptUntilTheyAreForgotten(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for i, id := range []string{"gui/501/b", "a", "gui/501/b"} { // the newest record of a service counts
		u := store.Unloaded{Service: id, Plugin: "p", At: time.Unix(int64(10-i), 0), Undo: []byte{byte(i)}}
		if err := s.KeepUnloaded("main", u); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Unloaded("main")
	if err != nil || len(got) != 2 || got[0].Service != "gui/501/b" || got[0].Undo[0] != 2 || got[1].Service != "a" {
		t.Fatalf("%+v, %v", got, err)
	}
	broken := filepath.Join(dir, "gateways", "main", "unloaded", "broken.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Unloaded("main"); err == nil || len(got) != 2 {
		t.Errorf("beside a broken one: %+v, %v", got, err)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.ForgetUnloaded("main", "a"); err != nil {
			t.Error(err)
		}
	}
	if got, err := s.Unloaded("main"); err != nil || len(got) != 1 {
		t.Errorf("after one was forgotten: %+v, %v", got, err)
	}
	if got, err := s.Unloaded("another"); err != nil || len(got) != 0 {
		t.Errorf("of another gateway: %+v, %v", got, err)
	}
}
