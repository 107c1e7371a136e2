import os
import subprocess
import sys
import tempfile
import unittest

import grpc

import gatehost
import main
from gatehost import contract

GATEWAY = contract.GatewayFacts(name="main", command=["openclaw"], profile="openclaw", config_path="/srv/openclaw.json")


def asked(*texts):
    lines = [contract.Line(cursor=i + 1, stream="STREAM_STDERR", text=text) for i, text in enumerate(texts)]
    return contract.DiagnoseRequest(gateway=GATEWAY, incident=contract.Incident(attempt=1, lines=lines))


UNKNOWN_KEY = asked("starting", '<root>: Unrecognized key: "colour"')


class FunctionsTest(unittest.TestCase):
    def test_an_unknown_key_is_found_and_planned_for(self):
        doctor = main.KeyDoctor()
        finding, = doctor.diagnose(UNKNOWN_KEY, None).findings
        self.assertTrue(finding.repairable)
        plan = doctor.plan(GATEWAY, finding, None)
        self.assertEqual(list(plan.steps[0].exec.argv), ["openclaw", "doctor", "--fix", "--yes", "--non-interactive"])
        self.assertEqual(list(plan.touches), ["/srv/openclaw.json"])

    def test_other_trouble_is_left_to_other_doctors(self):
        doctor = main.KeyDoctor()
        for request in (contract.DiagnoseRequest(gateway=GATEWAY), asked("Error: out of memory")):
            self.assertIsNone(doctor.diagnose(request, None))
        with self.assertRaises(gatehost.Fault) as raised:
            doctor.plan(GATEWAY, contract.Finding(code="port-conflict"), None)
        self.assertEqual(raised.exception.code, "unsupported")


OTHER = """
import logging, os, time
import gatehost
from gatehost import contract

class Other(gatehost.Doctor):
    def diagnose(self, request, call):
        logging.info("waiting")
        while not call.over():
            time.sleep(0.01)
        raise gatehost.Fault("cancelled", "it was told to stop")

    def plan(self, gateway, finding, call):
        raise TypeError("a bug")

    def repair(self, request, progress, call):
        progress("half", 50)
        return contract.RepairResult(changed=True, summary=request.step_id)

    def verify(self, request, call):
        return contract.VerifyResponse(outcome="OUTCOME_HELPED", text=request.finding.code or "secret=%s" % os.environ.get("GATEHOST_PLUGIN_SECRET"))

gatehost.serve("other", "0.1.0", Other())
"""


class ProcessTest(unittest.TestCase):
    """The plugin as the host runs it: a process, a handshake, a socket, and an end with its stdin."""

    def start(self, args=(os.path.join(gatehost.HERE, "main.py"),), **env):
        sockets = tempfile.TemporaryDirectory(prefix="gh")
        self.addCleanup(sockets.cleanup)
        child = subprocess.Popen(
            [sys.executable, *args], cwd=gatehost.HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, gatehost.COOKIE[0]: gatehost.COOKIE[1], "PLUGIN_UNIX_SOCKET_DIR": sockets.name, **env},
        )
        self.addCleanup(child.__exit__, None, None, None)
        self.addCleanup(child.kill)
        return child, sockets.name

    def connect(self, child, sockets):
        """Takes the handshake and answers a function that makes a call."""
        parts = child.stdout.readline().decode().rstrip("\n").split("|")
        self.assertEqual(parts[:3] + parts[4:], ["1", "1", "unix", "grpc"])
        self.assertTrue(parts[3].startswith(sockets))
        channel = grpc.insecure_channel("unix:" + parts[3])
        self.addCleanup(channel.close)

        def ask(service, method, request, kind=channel.unary_unary):
            m = contract.service(service).methods_by_name[method]
            call = kind(f"/{gatehost.PACKAGE}.{service}/{method}", lambda r: r.SerializeToString(), contract.of(m.output_type).FromString)
            return call(request, timeout=30)

        ask.channel = channel
        return ask

    def assertFails(self, code, work):
        with self.assertRaises(grpc.RpcError) as raised:
            work()
        self.assertEqual(raised.exception.code(), code)

    def test_it_serves_a_host_and_ends_with_it(self):
        child, sockets = self.start()
        ask = self.connect(child, sockets)
        described = ask("PluginService", "Describe", contract.DescribeRequest())
        self.assertEqual((described.name, len(described.services)), (main.NAME, 1))
        self.assertEqual(list(described.services[0].capabilities), [])
        configured = ask("PluginService", "Configure", contract.ConfigureRequest(config_json=b'{"odd": 1}'))
        self.assertEqual([d.path for d in configured.diagnostics], ["odd"])
        for table in (b"[]", b"{"):
            self.assertFails(grpc.StatusCode.INVALID_ARGUMENT, lambda: ask("PluginService", "Configure", contract.ConfigureRequest(config_json=table)))
        self.assertEqual(ask("DoctorService", "Diagnose", UNKNOWN_KEY).findings[0].code, "config-invalid")
        foreign = contract.PlanRequest(gateway=GATEWAY, finding=contract.Finding(code="port-conflict"))
        self.assertFails(grpc.StatusCode.UNIMPLEMENTED, lambda: ask("DoctorService", "Plan", foreign))
        self.assertFails(grpc.StatusCode.UNIMPLEMENTED, lambda: list(ask("DoctorService", "Repair", contract.RepairRequest(), ask.channel.unary_stream)))
        self.assertFails(grpc.StatusCode.UNIMPLEMENTED, lambda: ask("DoctorService", "Verify", contract.VerifyRequest()))
        child.stdin.close()  # the host goes
        self.assertEqual(child.wait(timeout=60), 0)
        self.assertEqual(os.listdir(sockets), [])

    def test_with_a_secret_it_serves_its_host_only(self):
        secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
        child, sockets = self.start(("-c", OTHER), GATEHOST_PLUGIN_SECRET=secret)
        channel = self.connect(child, sockets).channel

        def call(service, method, kind, *secrets):
            made = kind(f"/{service}/{method}", lambda r: b"", lambda r: r)
            answer = made(None, timeout=30, metadata=[("gatehost-plugin-secret", s) for s in secrets])
            return list(answer) if kind == channel.unary_stream else answer

        doctor = gatehost.PACKAGE + ".DoctorService"
        for service, method, kind in (
            (gatehost.PACKAGE + ".PluginService", "Describe", channel.unary_unary), ("grpc.health.v1.Health", "Check", channel.unary_unary),
            (doctor, "Plan", channel.unary_unary), (doctor, "Repair", channel.unary_stream), ("plugin.GRPCStdio", "StreamStdio", channel.unary_stream),
        ):
            for secrets in ((), ("",), ("0" * len(secret),), (secret[1:],), (secret + "0",)):
                self.assertFails(grpc.StatusCode.UNAUTHENTICATED, lambda: call(service, method, kind, *secrets))
        call(gatehost.PACKAGE + ".PluginService", "Describe", channel.unary_unary, secret)
        self.assertEqual(call("grpc.health.v1.Health", "Check", channel.unary_unary, secret), b"\x08\x01")
        self.assertEqual(len(call(doctor, "Repair", channel.unary_stream, secret)), 2)
        inherited = contract.VerifyResponse.FromString(call(doctor, "Verify", channel.unary_unary, secret))
        self.assertEqual(inherited.text, "secret=None")
        child.stdin.close()
        self.assertEqual(child.wait(timeout=60), 0)

    def test_a_delegated_step_verify_a_bug_and_a_call_that_the_host_leaves(self):
        """What this doctor does not use, and the next one may."""
        child, sockets = self.start(("-c", OTHER))
        ask = self.connect(child, sockets)
        steps = list(ask("DoctorService", "Repair", contract.RepairRequest(step_id="swap"), ask.channel.unary_stream))
        self.assertEqual([s.WhichOneof("item") for s in steps], ["progress", "result"])
        self.assertEqual((steps[0].progress.percent, steps[1].result.summary), (50, "swap"))
        described = ask("PluginService", "Describe", contract.DescribeRequest())
        self.assertEqual(list(described.services[0].capabilities), ["verify"])
        verified = ask("DoctorService", "Verify", contract.VerifyRequest(finding=contract.Finding(code="x")))
        self.assertEqual((verified.outcome, verified.text), (1, "x"))
        self.assertFails(grpc.StatusCode.INTERNAL, lambda: ask("DoctorService", "Plan", contract.PlanRequest()))
        m = contract.service("DoctorService").methods_by_name["Diagnose"]
        left = ask.channel.unary_unary(f"/{gatehost.PACKAGE}.DoctorService/Diagnose", lambda r: r.SerializeToString(), contract.of(m.output_type).FromString)
        left = left.future(contract.DiagnoseRequest(), timeout=30)
        while b"waiting" not in child.stderr.readline():  # it has arrived
            pass
        child.stdin.close()
        self.assertEqual(child.wait(timeout=60), 0)
        self.assertIsNotNone(left.exception())

    def test_a_host_that_wants_mutual_tls_is_told(self):
        child, _ = self.start(PLUGIN_CLIENT_CERT="x")
        self.assertEqual(child.wait(timeout=60), 1)
        self.assertIn(b'transport = \\"socket\\"', child.stderr.read())


if __name__ == "__main__":
    unittest.main()
