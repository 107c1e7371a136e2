"""doctor-python is a doctor of gatehost: it finds out why a gateway failed, and proposes what would repair it. The host asks for consent,
backs up, carries the plan out, and takes it back when it has not helped."""

import logging

import gatehost
from gatehost import contract

NAME, VERSION = "doctor-python", "0.1.0"
log = logging.getLogger(NAME)


class KeyDoctor(gatehost.Doctor):
    """Knows one trouble: a key in the configuration that the gateway does not know."""

    def diagnose(self, request, call):
        line = gatehost.find(request, "Unrecognized key")
        if line is None:
            return None  # not my trouble: the next doctor is asked
        log.info("the gateway does not know a key of its configuration", extra={"gateway": request.gateway.name, "line": line.text})
        return contract.DiagnoseResponse(findings=[contract.Finding(
            code="config-invalid", severity="SEVERITY_ERROR", repairable=True, evidence=[line.text],
            text="the configuration has a key that the gateway does not know", hint="remove it from " + request.gateway.config_path,
        )])

    def plan(self, gateway, finding, call):
        if finding.code != "config-invalid" or not gateway.config_path:
            raise gatehost.Fault("unsupported", "not a finding of this doctor")
        return contract.RepairPlan(
            title="let OpenClaw's own doctor remove the key",
            steps=[gatehost.command(gateway, "run doctor --fix", 120, "doctor", "--fix", "--yes", "--non-interactive")],
            touches=[gateway.config_path],
        )


if __name__ == "__main__":
    gatehost.serve(NAME, VERSION, KeyDoctor())
