package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"
)

// TestDoctorsInOtherLanguagesHealAGateway makes a doctor in Node and one in Python, as examples/doctor-node and
// doctor-python are, runs their own tests, and lets a host heal a gateway by each, sandboxed: its finding, its plan and
// its logs arrive; killed, it comes back; it ends when its host is killed.
func TestDoctorsInOtherLanguagesHealAGateway(t *testing.T) {
	for lang, test := range map[string][]string{
		"node": {"npm", "test"}, "python": {"/usr/bin/python3", "-B", "-m", "unittest"},
	} {
		t.Run(lang, func(t *testing.T) {
			s := newSite(t, emulator(""))
			dir := filepath.Join(s.dir, "my-"+lang)
			s.must("plugin", "new", "doctor", dir, "--lang", lang)
			if lang == "node" {
				nodeModules(t, dir)
			}
			tests := exec.Command(test[0], test[1:]...)
			tests.Dir = dir
			if text, err := tests.CombinedOutput(); err != nil {
				t.Fatalf("its own tests: %v\n%s\nbuild/languages.sh installs what they need", err, text)
			}
			s.must("plugin", "seal", dir)
			verified(t, s, dir)

			text := strings.Replace(s.repairConfig("auto", "none"), `doctors = ["doctor"]`, `doctors = ["mine"]`, 1)
			text = strings.Replace(text, "[gateways.main]\n", "[gateways.main]\non_host_exit = \"keep\"\n", 1)
			s.writeConfig(text + fmt.Sprintf("[plugins.mine]\npath = %q\n", dir))
			s.breakConfig(unknownKey)
			s.run()
			before := s.awaitState("running")
			if healed, err := os.ReadFile(s.oc()); err != nil || bytes.Contains(healed, []byte("colour")) {
				t.Errorf("the configuration is %s, %v", healed, err)
			}
			for _, want := range []string{"[INFO]", "gatehost.plugin.mine: ", "gateway=main", "Unrecognized key"} {
				if !lineWith(s.stderr.String(), "does not know a key of its configuration", want) {
					t.Errorf("its line in the host's log has no %q", want)
				}
			}
			repaired := "repaired: let OpenClaw's own doctor remove the key, by mine"
			if out := s.must("events", "main"); !strings.Contains(out, repaired) {
				t.Errorf("events:\n%s", out)
			}
			if out := s.must("plugin", "info", "mine"); !strings.Contains(out, "sandbox: on") {
				t.Errorf("it is not sandboxed:\n%s", out)
			}
			callAsAStranger(t, s)

			pid := killPlugin(t, s, "mine")
			s.eventually("it is back", func() (bool, string) {
				p := pluginOf(t, s, "mine")
				if p.State != "running" || p.PID == pid || p.Restarts == 0 {
					return false, fmt.Sprintf("%+v", p)
				}
				pid = p.PID
				return true, ""
			})
			if err := s.host.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-s.exited
			s.eventually("it ends with its host", func() (bool, string) {
				left := s.processes()
				return !slices.ContainsFunc(left, func(p process) bool { return p.pid == pid }), fmt.Sprint(left)
			})
			s.startHost()
			if after := s.awaitState("running"); after.PID != before.PID {
				t.Errorf("before: %+v\nafter:  %+v", before, after)
			}
			s.must("stop", "main")
			s.shutdown()
		})
	}
}

// nodeModules puts what `npm ci` installs into a project; make has it in the cache.
func nodeModules(t *testing.T, dir string) {
	t.Helper()
	from := os.Getenv("GATEHOST_NODE_MODULES")
	if from == "" {
		t.Fatal("GATEHOST_NODE_MODULES is not set: run make test-e2e, or set it to what build/languages.sh CACHE_DIR prints")
	}
	if text, err := exec.Command("cp", "-R", from, filepath.Join(dir, "node_modules")).CombinedOutput(); err != nil {
		t.Fatalf("cannot copy %s: %v\n%s", from, err, text)
	}
}

// callAsAStranger calls the plugins that speak without TLS as any program of their user can.
func callAsAStranger(t *testing.T, s *site) {
	t.Helper()
	tried := 0
	for _, pattern := range []string{"*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*"} {
		sockets, err := filepath.Glob(filepath.Join(s.dir, "run", pattern, "plugin[0-9]*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range sockets {
			conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
			if code := grpcstatus.Code(err); code == codes.Unauthenticated {
				tried++
			} else if code != codes.Unavailable { // one with TLS
				t.Errorf("%s answers: %v", path, err)
			}
			_ = conn.Close()
		}
	}
	if tried == 0 {
		t.Error("no plugin without TLS was found: this says nothing")
	}
}
