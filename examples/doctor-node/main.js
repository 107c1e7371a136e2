// doctor-node is a doctor of gatehost: it finds out why a gateway failed, and proposes what would repair it. The host asks for consent,
// backs up, carries the plan out, and takes it back when it has not helped.

import { fileURLToPath } from 'node:url'
import { Fault, Severity, command, find, log, ownVersion, serve } from './gatehost.js'

// diagnose looks for the gateway's own words. It changes nothing.
export function diagnose ({ gateway, incident }) {
  const line = find(incident, 'Unrecognized key')
  if (!line) return // not my trouble: the next doctor is asked
  log.info('the gateway does not know a key of its configuration', { gateway: gateway.name, line: line.text })
  return {
    findings: [{
      code: 'config-invalid',
      severity: Severity.ERROR,
      text: 'the configuration has a key that the gateway does not know',
      hint: `remove it from ${gateway.configPath}`,
      repairable: true,
      evidence: [line.text]
    }]
  }
}

// plan says what would repair a finding. It changes nothing either: the host runs the steps.
export function plan (gateway, finding) {
  if (finding.code !== 'config-invalid' || !gateway.configPath) throw new Fault('unsupported', 'not a finding of this doctor')
  return {
    title: "let OpenClaw's own doctor remove the key",
    steps: [command(gateway, 'run doctor --fix', 120, 'doctor', '--fix', '--yes', '--non-interactive')],
    touches: [gateway.configPath]
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) { // and not when a test imports it
  serve({ name: 'doctor-node', version: ownVersion(), doctor: { diagnose, plan } })
}
