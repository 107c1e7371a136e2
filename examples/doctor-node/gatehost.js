// What a plugin of gatehost does besides being a doctor: the handshake, gRPC on a unix socket, health, logs, and ending with its host.
// docs/plugin-wire.md of gatehost says all of it in words. This file is yours; there is nothing behind it.

import { Console } from 'node:console'
import { timingSafeEqual } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import grpc from '@grpc/grpc-js'
import protoLoader from '@grpc/proto-loader'

const COOKIE_KEY = 'GATEHOST_PLUGIN'
const COOKIE_VALUE = '7b1d9f3a-gatehost-plugin-v1'
const SECRET_ENV = 'GATEHOST_PLUGIN_SECRET'
const SECRET_KEY = 'gatehost-plugin-secret'
const MAX_MESSAGE = 16 << 20
const EXIT_BOUND_MS = 1500 // the contract gives two seconds

export const Severity = { INFO: 'SEVERITY_INFO', WARNING: 'SEVERITY_WARNING', ERROR: 'SEVERITY_ERROR' }

// Fault is an error whose meaning and hint reach the operator. Codes: unsupported, not_found, invalid_argument, failed_precondition,
// permission_denied, unavailable, internal and the others of the contract.
export class Fault extends Error {
  constructor (code, message, hint = '') {
    super(message)
    this.code = code
    this.hint = hint
  }
}

// find is the first line of an incident that contains one of these texts; undefined when there is none, or no incident.
export function find (incident, ...texts) {
  return incident?.lines.find((line) => texts.some((text) => line.text.includes(text)))
}

// command is a step of a plan that runs the gateway's own program.
export function command (gateway, title, seconds, ...args) {
  return { title, exec: { argv: [...gateway.command, ...args], timeout: { seconds, nanos: 0 } } }
}

// log writes to the host's log, with its level and fields. Nothing else may be written to stdout.
export const log = Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, (message, fields = {}) => {
  const entry = { ...fields, '@level': level, '@message': String(message), '@module': process.env.GATEHOST_PLUGIN_NAME ?? 'plugin', '@timestamp': new Date().toISOString() }
  process.stderr.write(JSON.stringify(entry) + '\n')
}]))

// loadContract reads the proto files beside this one: camelCase fields, enums by their names, bytes as Buffer.
export function loadContract () {
  const root = path.join(path.dirname(fileURLToPath(import.meta.url)), 'proto')
  const files = ['gatehost/plugin/v1alpha1/base.proto', 'gatehost/plugin/v1alpha1/doctor.proto', 'grpc/health/v1/health.proto']
  return grpc.loadPackageDefinition(protoLoader.loadSync(files, { includeDirs: [root], longs: Number, enums: String, defaults: true, oneofs: true }))
}

// serve serves a doctor until the host goes away. A plugin is:
//   name, version           lower-case words joined by hyphens; semantic version without v
//   doctor.diagnose(request, { signal })            -> { findings, wants }, or nothing
//   doctor.plan(gateway, finding, { signal })       -> { title, steps, touches }, or nothing
//   doctor.repair(request, { signal, progress })    -> { changed, summary }; only for plans with delegated steps
//   doctor.verify(request, { signal })              -> { outcome, text, hint, wants }; optional: whether a plan has helped
//   configure({ config, directories, name, grants }) -> list of { severity, path, message, hint }; without it the table may have no keys
//   configFields, wantedGrants, homepage            as in DescribeResponse
// Shapes are those of the messages in proto/, in camelCase. Functions may be async. Work that blocks the event loop for seconds also
// blocks the host's question whether this process is alive, and gets it replaced.
export function serve (plugin) {
  if (process.argv.includes('--describe')) {
    process.stdout.write(JSON.stringify(described(plugin), null, 2) + '\n')
    return
  }
  if (process.env[COOKIE_KEY] !== COOKIE_VALUE) {
    process.stderr.write(`${plugin.name} ${plugin.version} is a plugin of gatehost and is started by it; --describe shows what it is.\n`)
    process.exit(2)
  }
  if (process.env.PLUGIN_CLIENT_CERT) {
    log.error('this plugin speaks without mutual TLS', { hint: 'keep transport = "socket" in plugin.toml, or set it for the plugin in config.toml' })
    process.exit(1)
  }
  globalThis.console = new Console({ stdout: process.stderr, stderr: process.stderr }) // stdout is for the handshake alone
  process.stderr.on('error', () => {}) // a host that was killed reads no more
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {}) // the host decides when a plugin ends

  const secret = process.env[SECRET_ENV]
  delete process.env[SECRET_ENV] // children do not get it

  const calls = new Calls()
  const contract = loadContract()
  const server = new grpc.Server({
    'grpc.max_receive_message_length': MAX_MESSAGE,
    'grpc.max_send_message_length': MAX_MESSAGE,
    interceptors: secret ? [hostOnly(secret)] : []
  })
  const v1 = contract.gatehost.plugin.v1alpha1
  server.addService(contract.grpc.health.v1.Health.service, { Check: (_call, reply) => reply(null, { status: 'SERVING' }) })
  server.addService(v1.PluginService.service, {
    Describe: calls.unary(() => describeResponse(plugin)),
    Configure: calls.unary(async (request) => ({ diagnostics: await configured(plugin, request) }))
  })
  server.addService(v1.DoctorService.service, {
    Diagnose: calls.unary((request, context) => plugin.doctor.diagnose(request, context)),
    Plan: calls.unary(async (request, context) => ({ plan: await plugin.doctor.plan?.(request.gateway, request.finding, context) })),
    Repair: calls.stream(async (request, context) => {
      if (!plugin.doctor.repair) throw new Fault('unsupported', 'this doctor has no steps of its own')
      return { result: await plugin.doctor.repair(request, context) }
    }),
    Verify: calls.unary((request, context) => {
      if (!plugin.doctor.verify) throw new Fault('unsupported', 'this doctor does not verify')
      return plugin.doctor.verify(request, context)
    })
  })

  const socket = path.join(process.env.PLUGIN_UNIX_SOCKET_DIR ?? process.cwd(), `plugin${process.pid}`)
  server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) {
      log.error('cannot listen', { socket, error: error.message })
      process.exit(1)
    }
    process.stdout.write(`1|1|unix|${socket}|grpc\n`)
  })

  // The death pipe: stdin ends with the host, however that dies.
  const hostGone = async () => {
    calls.hostGone()
    await Promise.race([calls.idle(), new Promise((resolve) => setTimeout(resolve, EXIT_BOUND_MS))])
    rmSync(socket, { force: true })
    process.exit(0)
  }
  process.stdin.once('end', hostGone).once('error', hostGone)
  process.stdin.resume()
}

// hostOnly refuses each call whose metadata does not carry the secret, of whatever service: only the host knows it.
function hostOnly (secret) {
  const want = Buffer.from(secret)
  const carries = (metadata) => metadata.get(SECRET_KEY).some((value) => {
    const got = Buffer.from(value)
    return got.length === want.length && timingSafeEqual(got, want)
  })
  return (_method, call) => new grpc.ServerInterceptingCall(call, {
    start: (next) => next({
      onReceiveMetadata: (metadata, serve) => {
        if (carries(metadata)) serve(metadata)
        else call.sendStatus({ code: grpc.status.UNAUTHENTICATED, details: 'this plugin serves the host that started it, and no other program' })
      }
    })
  })
}

// capabilities are what this doctor serves beyond what each doctor must; null: nothing.
function capabilities (plugin) { return plugin.doctor.verify ? ['verify'] : null }

function described (plugin) {
  return {
    Name: plugin.name,
    Version: plugin.version,
    Services: [{ Kind: 'doctor', MinVersion: 1, MaxVersion: 1, Capabilities: capabilities(plugin) }],
    ConfigFields: plugin.configFields?.map(({ path, type, required = false, defaultJson = '', doc = '' }) =>
      ({ Path: path, Type: type, Required: required, DefaultJSON: defaultJson, Doc: doc })) ?? null,
    WantedGrants: plugin.wantedGrants ?? null,
    Homepage: plugin.homepage ?? ''
  }
}

function describeResponse (plugin) {
  const { name, version, configFields, wantedGrants, homepage } = plugin
  const services = [{ kind: 'KIND_DOCTOR', minVersion: 1, maxVersion: 1, capabilities: capabilities(plugin) }]
  return { name, version, services, configFields, wantedGrants, homepage }
}

async function configured (plugin, request) {
  let config
  try {
    config = JSON.parse(request.configJson.toString() || '{}')
  } catch (error) {
    throw new Fault('invalid_argument', `the table is not JSON: ${error.message}`)
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) throw new Fault('invalid_argument', 'the table is no JSON object')
  if (plugin.configure) return await plugin.configure({ ...request, config })
  return Object.keys(config).sort().map((key) => ({ severity: Severity.ERROR, path: key, message: 'is not a key of this plugin', hint: 'remove it' }))
}

// Calls lets each call see its end: when it is cancelled, late, or the host is gone.
class Calls {
  running = new Set()
  quiet = []

  begin (call) {
    const abort = new AbortController()
    call.on('cancelled', () => abort.abort()) // also when its deadline has passed
    this.running.add(abort)
    return abort
  }

  end (abort) {
    this.running.delete(abort)
    if (this.running.size === 0) this.quiet.splice(0).forEach((resolve) => resolve())
  }

  hostGone () { for (const abort of this.running) abort.abort() }

  idle () { return this.running.size === 0 ? Promise.resolve() : new Promise((resolve) => this.quiet.push(resolve)) }

  unary (work) {
    return async (call, reply) => {
      const abort = this.begin(call)
      try {
        reply(null, (await work(call.request, { signal: abort.signal })) ?? {})
      } catch (error) {
        reply(statusOf(error))
      } finally {
        this.end(abort)
      }
    }
  }

  stream (work) {
    return async (call) => {
      const abort = this.begin(call)
      try {
        const progress = (text, percent) => call.write({ progress: { text, ...(percent === undefined ? {} : { percent }) } })
        call.write(await work(call.request, { signal: abort.signal, progress }))
        call.end()
      } catch (error) {
        call.emit('error', statusOf(error)) // grpc-js ends the stream with it
      } finally {
        this.end(abort)
      }
    }
  }
}

const codes = {
  not_found: grpc.status.NOT_FOUND,
  already_exists: grpc.status.ALREADY_EXISTS,
  invalid_argument: grpc.status.INVALID_ARGUMENT,
  failed_precondition: grpc.status.FAILED_PRECONDITION,
  permission_denied: grpc.status.PERMISSION_DENIED,
  unsupported: grpc.status.UNIMPLEMENTED,
  unavailable: grpc.status.UNAVAILABLE,
  deadline_exceeded: grpc.status.DEADLINE_EXCEEDED,
  cancelled: grpc.status.CANCELLED,
  exhausted: grpc.status.RESOURCE_EXHAUSTED,
  conflict: grpc.status.ABORTED
}

// statusOf makes an error cross the boundary with its meaning: a google.rpc.Status with a FaultDetail in it. What is no Fault is a bug of
// this plugin: its stack goes to the log.
function statusOf (error) {
  let { code, hint = '' } = error ?? {} // a promise may be rejected without one
  if (error?.name === 'AbortError') code = 'cancelled'
  else if (!(error instanceof Fault)) {
    code = 'internal'
    hint = ''
    log.error('a call failed', { error: error?.stack ?? String(error) })
  }
  const message = String(error?.message ?? error).slice(0, 8 << 10)
  const status = codes[code] ?? grpc.status.INTERNAL
  const detail = Buffer.concat([field(1, code), field(2, message), field(3, hint)])
  const any = Buffer.concat([field(1, 'type.googleapis.com/gatehost.plugin.v1alpha1.FaultDetail'), field(2, detail)])
  const metadata = new grpc.Metadata()
  metadata.set('grpc-status-details-bin', Buffer.concat([Buffer.from([1 << 3, status]), field(2, message), field(3, any)]))
  return { code: status, details: message, metadata }
}

// field is a protobuf field of text or bytes.
function field (number, value) {
  const data = Buffer.from(value)
  const head = [(number << 3) | 2]
  let length = data.length
  for (; length > 127; length >>>= 7) head.push((length & 127) | 128)
  return Buffer.concat([Buffer.from([...head, length]), data])
}

// ownVersion is that of package.json, so that it stands in one place.
export function ownVersion () {
  return JSON.parse(readFileSync(path.join(path.dirname(fileURLToPath(import.meta.url)), 'package.json'))).version
}
