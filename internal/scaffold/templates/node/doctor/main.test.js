import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import grpc from '@grpc/grpc-js'
import { loadContract } from './gatehost.js'
import { diagnose, plan } from './main.js'

const gateway = { name: 'main', command: ['openclaw'], profile: 'openclaw', configPath: '/srv/openclaw.json' }
const incident = (...texts) => ({ attempt: 1, lines: texts.map((text, i) => ({ cursor: i + 1, stream: 'STREAM_STDERR', text })) })
const unknownKey = incident('starting', '<root>: Unrecognized key: "colour"')

test('an unknown key is found and planned for', () => {
  const { findings: [finding] } = diagnose({ gateway, incident: unknownKey })
  assert.equal(finding.code, 'config-invalid')
  const { steps, touches } = plan(gateway, finding)
  assert.deepEqual(steps[0].exec.argv, ['openclaw', 'doctor', '--fix', '--yes', '--non-interactive'])
  assert.deepEqual(touches, ['/srv/openclaw.json'])
})

test('other trouble is left to other doctors', () => {
  for (const other of [null, incident('Error: out of memory')]) assert.equal(diagnose({ gateway, incident: other }), undefined)
  assert.throws(() => plan(gateway, { code: 'port-conflict' }), { code: 'unsupported' })
})

// start runs the plugin as the host does: a process, a handshake, a socket, and an end with its stdin.
function start (t, env = {}, args = [fileURLToPath(new URL('./main.js', import.meta.url))]) {
  const dir = mkdtempSync(path.join(tmpdir(), 'gh'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const child = spawn(process.execPath, args, {
    cwd: path.dirname(fileURLToPath(import.meta.url)),
    env: { ...process.env, GATEHOST_PLUGIN: '7b1d9f3a-gatehost-plugin-v1', PLUGIN_UNIX_SOCKET_DIR: dir, ...env },
    stdio: 'pipe'
  })
  t.after(() => child.kill('SIGKILL'))
  return { child, dir, exited: once(child, 'exit') }
}

// connect takes the handshake and opens the services.
async function connect (t, { child, dir }) {
  const [handshake] = await once(child.stdout, 'data')
  const address = /^1\|1\|unix\|(.+)\|grpc\n$/.exec(handshake.toString())?.[1]
  assert.ok(address?.startsWith(dir), `handshake ${handshake}`)
  const contract = loadContract()
  const v1 = contract.gatehost.plugin.v1alpha1
  const clients = [v1.PluginService, v1.DoctorService, contract.grpc.health.v1.Health].map((Service) => new Service(`unix:${address}`, grpc.credentials.createInsecure()))
  t.after(() => clients.forEach((client) => client.close()))
  return clients
}

const ask = (client, method, request) => new Promise((resolve, reject) =>
  client[method](request, { deadline: Date.now() + 30_000 }, (error, answer) => error ? reject(error) : resolve(answer)))

// items reads a stream to its end.
async function items (stream) {
  const out = []
  for await (const item of stream) out.push(item.item)
  return out
}

test('a host that wants mutual TLS is told', { timeout: 60_000 }, async (t) => {
  const { child, exited } = start(t, { PLUGIN_CLIENT_CERT: 'x' })
  const [line] = await once(child.stderr, 'data')
  assert.match(JSON.parse(line).hint, /transport = "socket"/)
  assert.deepEqual(await exited, [1, null])
})

test('it serves a host, and ends with it', { timeout: 60_000 }, async (t) => {
  const plugin = start(t)
  const [base, doctor] = await connect(t, plugin)
  const { services } = await ask(base, 'Describe', {})
  assert.deepEqual(services.map((s) => [s.kind, s.capabilities]), [['KIND_DOCTOR', []]])
  const { diagnostics } = await ask(base, 'Configure', { configJson: Buffer.from('{"odd": 1}') })
  assert.deepEqual(diagnostics.map((d) => d.path), ['odd'])
  for (const table of ['[]', 'null', '{']) {
    await assert.rejects(ask(base, 'Configure', { configJson: Buffer.from(table) }), { code: grpc.status.INVALID_ARGUMENT })
  }
  const { findings } = await ask(doctor, 'Diagnose', { gateway, incident: unknownKey })
  assert.equal(findings[0].severity, 'SEVERITY_ERROR')
  await assert.rejects(ask(doctor, 'Plan', { gateway, finding: { code: 'port-conflict' } }), { code: grpc.status.UNIMPLEMENTED })
  await assert.rejects(items(doctor.Repair({ gateway, finding: { code: 'config-invalid' }, stepId: 'x' })), { code: grpc.status.UNIMPLEMENTED })
  await assert.rejects(ask(doctor, 'Verify', { gateway, finding: { code: 'config-invalid' } }), { code: grpc.status.UNIMPLEMENTED })

  plugin.child.stdin.end() // the host goes
  assert.deepEqual(await plugin.exited, [0, null])
  assert.deepEqual(readdirSync(plugin.dir), [])
})

test('with a secret it serves its host only', { timeout: 60_000 }, async (t) => {
  const secret = '0f1e2d3c4b5a69788796a5b4c3d2e1f0'
  const plugin = start(t, { GATEHOST_PLUGIN_SECRET: secret }, ['--input-type=module', '-e', other])
  const [base, doctor, health] = await connect(t, plugin)
  const call = (client, method, request, metadata) => new Promise((resolve, reject) =>
    client[method](request, metadata, { deadline: Date.now() + 30_000 }, (error, answer) => error ? reject(error) : resolve(answer)))
  const carrying = (...values) => {
    const metadata = new grpc.Metadata()
    for (const value of values) metadata.add('gatehost-plugin-secret', value)
    return metadata
  }
  const refused = { code: grpc.status.UNAUTHENTICATED }
  for (const metadata of [carrying(), carrying(''), carrying('0'.repeat(secret.length)), carrying(secret.slice(1)), carrying(secret + '0')]) {
    await assert.rejects(call(base, 'Describe', {}, metadata), refused)
    await assert.rejects(call(health, 'Check', {}, metadata), refused)
    await assert.rejects(call(doctor, 'Diagnose', { gateway }, metadata), refused)
    await assert.rejects(items(doctor.Repair({ gateway, stepId: 'swap' }, metadata)), refused)
  }
  assert.equal((await call(base, 'Describe', {}, carrying(secret))).name, 'other')
  assert.equal((await call(health, 'Check', {}, carrying(secret))).status, 'SERVING')
  assert.deepEqual(await items(doctor.Repair({ gateway, finding: { code: 'x' }, stepId: 'swap' }, carrying(secret))), ['progress', 'result'])
  const { text } = await call(doctor, 'Verify', { gateway, finding: { code: 'env' } }, carrying(secret))
  assert.equal(text, 'secret=undefined')
  plugin.child.stdin.end()
  assert.deepEqual(await plugin.exited, [0, null])
})

// What this doctor does not use, and the next one may: delegated steps, Verify, errors, and calls that are under way when the host goes.
const other = `
import { serve } from './gatehost.js'
serve({
  name: 'other',
  version: '0.1.0',
  configFields: [{ path: 'most', type: 'integer', doc: 'as many' }],
  doctor: {
    diagnose: (_request, { signal }) => new Promise((resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    plan: (gateway) => gateway ? Promise.reject(new TypeError('a bug')) : Promise.reject(),
    repair: async ({ stepId }, { progress }) => { progress('half', 50); return { changed: true, summary: stepId } },
    verify: ({ finding }) => ({ outcome: 'OUTCOME_HELPED', text: finding.code === 'env' ? 'secret=' + process.env.GATEHOST_PLUGIN_SECRET : finding.code })
  }
})`

test('it describes itself as plugins in Go do', { timeout: 60_000 }, async (t) => {
  const { child, exited } = start(t, {}, ['--input-type=module', '-e', other, '--', '--describe'])
  const [text] = await once(child.stdout, 'data')
  const described = JSON.parse(text)
  assert.deepEqual(described.Services[0].Capabilities, ['verify'])
  assert.deepEqual(described.ConfigFields, [{ Path: 'most', Type: 'integer', Required: false, DefaultJSON: '', Doc: 'as many' }])
  assert.deepEqual(await exited, [0, null])
})

test('a delegated step, Verify, a bug, and a call that the host leaves', { timeout: 60_000 }, async (t) => {
  const plugin = start(t, {}, ['--input-type=module', '-e', other])
  const [base, doctor] = await connect(t, plugin)
  const { services } = await ask(base, 'Describe', {})
  assert.deepEqual(services[0].capabilities, ['verify'])
  const { outcome, text } = await ask(doctor, 'Verify', { gateway, finding: { code: 'x' } })
  assert.deepEqual([outcome, text], ['OUTCOME_HELPED', 'x'])
  assert.deepEqual(await items(doctor.Repair({ gateway, finding: { code: 'x' }, stepId: 'swap' })), ['progress', 'result'])
  await assert.rejects(ask(doctor, 'Plan', { gateway, finding: { code: 'x' } }), { code: grpc.status.INTERNAL, details: 'a bug' })
  await assert.rejects(ask(doctor, 'Plan', {}), { code: grpc.status.INTERNAL, details: 'undefined' })
  const left = assert.rejects(ask(doctor, 'Diagnose', { gateway }))
  await ask(doctor, 'Plan', {}).catch(() => {}) // so that the call before has arrived
  plugin.child.stdin.end()
  assert.deepEqual(await plugin.exited, [0, null])
  await left
})
