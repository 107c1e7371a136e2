"""What a plugin of gatehost does besides being a doctor: the handshake, gRPC on a unix socket, health, logs, and ending with its host.

docs/plugin-wire.md of gatehost says all of it in words. This file is yours; there is nothing behind it. It needs grpcio and protobuf
(Debian: python3-grpcio, python3-protobuf) and no generated code: the classes of the messages are made from gatehost.binpb when it starts.
"""

import datetime
import hmac
import json
import logging
import os
import signal
import sys
import threading
import traceback
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

COOKIE = ("GATEHOST_PLUGIN", "7b1d9f3a-gatehost-plugin-v1")
SECRET_ENV, SECRET_KEY = "GATEHOST_PLUGIN_SECRET", "gatehost-plugin-secret"
MAX_MESSAGE = 16 << 20
EXIT_BOUND = 1.5  # seconds; the contract gives two
PACKAGE = "gatehost.plugin.v1alpha1"
HERE = os.path.dirname(os.path.abspath(__file__))


class Contract:
    """The messages of proto/ as attributes: contract.Finding(code="x", severity="SEVERITY_ERROR")."""

    def __init__(self):
        self._pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet()
        with open(os.path.join(HERE, "gatehost.binpb"), "rb") as f:
            files.ParseFromString(f.read())
        for file in files.file:  # each after those that it imports
            self._pool.AddSerializedFile(file.SerializeToString())
        if hasattr(message_factory, "GetMessageClass"):
            self._make = message_factory.GetMessageClass
        else:  # protobuf before 4.22
            self._make = message_factory.MessageFactory(self._pool).GetPrototype
        self._made = {}

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._made:
            try:
                self._made[name] = self._make(self._pool.FindMessageTypeByName(PACKAGE + "." + name))
            except KeyError:
                raise AttributeError("the contract has no message " + name) from None
        return self._made[name]

    def service(self, name):
        return self._pool.FindServiceByName(PACKAGE + "." + name)

    def of(self, descriptor):
        return self.__getattr__(descriptor.name)


contract = Contract()


class Fault(Exception):
    """An error whose meaning and hint reach the operator. Codes: see CODES."""

    def __init__(self, code, message, hint=""):
        super().__init__(message)
        self.code, self.hint = code, hint


CODES = {
    "not_found": grpc.StatusCode.NOT_FOUND,
    "already_exists": grpc.StatusCode.ALREADY_EXISTS,
    "invalid_argument": grpc.StatusCode.INVALID_ARGUMENT,
    "failed_precondition": grpc.StatusCode.FAILED_PRECONDITION,
    "permission_denied": grpc.StatusCode.PERMISSION_DENIED,
    "unsupported": grpc.StatusCode.UNIMPLEMENTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "deadline_exceeded": grpc.StatusCode.DEADLINE_EXCEEDED,
    "cancelled": grpc.StatusCode.CANCELLED,
    "exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "conflict": grpc.StatusCode.ABORTED,
    "internal": grpc.StatusCode.INTERNAL,
}


def find(request, *texts):
    """The first line of the request's incident that contains one of these texts; None when there is none."""
    for line in request.incident.lines:
        if any(text in line.text for text in texts):
            return line
    return None


def command(gateway, title, seconds, *args):
    """A step of a plan that runs the gateway's own program."""
    step = contract.Step(title=title)
    step.exec.argv.extend([*gateway.command, *args])
    step.exec.timeout.seconds = seconds
    return step


class Doctor:
    """What a doctor inherits from. Requests and answers are messages of the contract; `call` tells when to stop. Calls for several
    gateways come at the same time, each in a thread of its own."""

    def configure(self, config, request, call):
        """Takes the table, a dict, and answers diagnostics. With one of SEVERITY_ERROR nothing may have changed."""
        return [contract.Diagnostic(severity="SEVERITY_ERROR", path=key, message="is not a key of this plugin", hint="remove it") for key in sorted(config)]

    def diagnose(self, request, call):
        """Answers a DiagnoseResponse, or None: nothing that I know of. Changes nothing."""
        return None

    def plan(self, gateway, finding, call):
        """Answers a RepairPlan, or None. Changes nothing: the host runs the steps."""
        return None

    def repair(self, request, progress, call):
        """Does a delegated step and answers a RepairResult; progress(text, percent=None) is a sign of life."""
        raise Fault("unsupported", "this doctor has no steps of its own")

    # verify(self, request, call) is optional: it answers a VerifyResponse, whether a plan has helped. A doctor that has it
    # announces the capability "verify".


class Call:
    """How long a call may go on."""

    def __init__(self, context, host_gone):
        self._context, self._host_gone, self._over = context, host_gone, threading.Event()
        context.add_callback(self._over.set)

    def over(self):
        """Whether it was cancelled, is late, or its host is gone: stop then."""
        return self._over.is_set() or self._host_gone.is_set()

    def remaining(self):
        """Seconds until its deadline; None without one."""
        return self._context.time_remaining()


class HostLog(logging.Handler):
    """Writes what logging is given as the host reads it: with its level, and with extra={...} as fields."""

    LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"), (logging.DEBUG, "debug"), (0, "trace"))
    STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def emit(self, record):
        entry = {k: v for k, v in vars(record).items() if k not in self.STANDARD}
        if record.exc_info:
            entry["error"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        at = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        entry.update({
            "@level": next(word for level, word in self.LEVELS if record.levelno >= level),
            "@message": record.getMessage(), "@module": record.name, "@timestamp": at.isoformat(timespec="milliseconds"),
        })
        try:
            os.write(2, (json.dumps(entry, default=str) + "\n").encode())  # one write: lines of threads do not mix
        except OSError:
            pass  # a host that was killed reads no more


def serve(name, version, doctor, config_fields=(), wanted_grants=(), homepage=""):
    """Serves a doctor until the host goes away; does not return."""
    info = contract.DescribeResponse(name=name, version=version, config_fields=config_fields, wanted_grants=wanted_grants, homepage=homepage)
    capabilities = ["verify"] if hasattr(doctor, "verify") else []
    info.services.add(kind="KIND_DOCTOR", min_version=1, max_version=1, capabilities=capabilities)
    if "--describe" in sys.argv:
        print(json.dumps(_described(info), indent=2))
        sys.exit(0)
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        print(f"{name} {version} is a plugin of gatehost and is started by it; --describe shows what it is.", file=sys.stderr)
        sys.exit(2)
    logging.basicConfig(level=logging.DEBUG, handlers=[HostLog()])
    if os.environ.get("PLUGIN_CLIENT_CERT"):
        logging.error("this plugin speaks without mutual TLS", extra={"hint": 'keep transport = "socket" in plugin.toml, or set it for the plugin in config.toml'})
        sys.exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the host decides when a plugin ends
    handshake, sys.stdout = sys.stdout, sys.stderr  # stdout is for the handshake alone

    server = _Server(info, doctor, os.environ.pop(SECRET_ENV, ""))  # children do not get it
    socket = os.path.join(os.environ.get("PLUGIN_UNIX_SOCKET_DIR", os.getcwd()), f"plugin{os.getpid()}")
    server.listen(socket)
    print(f"1|1|unix|{socket}|grpc", file=handshake, flush=True)

    while sys.stdin.buffer.read(4096):  # the death pipe: it ends with the host, however that dies
        pass
    server.host_gone(EXIT_BOUND)
    try:
        os.remove(socket)
    except OSError:
        pass
    os._exit(0)  # whatever a thread still does


def _described(info):
    return {
        "Name": info.name, "Version": info.version, "Homepage": info.homepage, "WantedGrants": list(info.wanted_grants) or None,
        "Services": [{"Kind": "doctor", "MinVersion": s.min_version, "MaxVersion": s.max_version,
                      "Capabilities": list(s.capabilities) or None} for s in info.services],
        "ConfigFields": [{"Path": f.path, "Type": f.type, "Required": f.required, "DefaultJSON": f.default_json, "Doc": f.doc}
                         for f in info.config_fields] or None,
    }


class _HostOnly(grpc.ServerInterceptor):
    """Refuses each call whose metadata does not carry the secret, of whatever service: only the host knows it."""

    def __init__(self, secret):
        self._secret = secret.encode()
        self._refused = grpc.unary_unary_rpc_method_handler(self._refuse)

    def intercept_service(self, continuation, details):
        sent = [value for key, value in details.invocation_metadata if key == SECRET_KEY]
        carried = any(hmac.compare_digest(value.encode(), self._secret) for value in sent)
        return continuation(details) if carried else self._refused

    @staticmethod
    def _refuse(request, context):
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "this plugin serves the host that started it, and no other program")


class _Server:
    def __init__(self, info, doctor, secret):
        self._info, self._doctor = info, doctor
        self._gone, self._idle, self._running = threading.Event(), threading.Condition(), 0
        size = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
        only = [_HostOnly(secret)] if secret else []
        self._grpc = grpc.server(futures.ThreadPoolExecutor(max_workers=32), interceptors=only, options=size)
        raw = grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")  # HealthCheckResponse of SERVING
        self._grpc.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": raw}),
            self._service("PluginService", {"Describe": lambda request, call: self._info, "Configure": self._configure}),
            self._service("DoctorService", {"Diagnose": doctor.diagnose, "Plan": self._plan, "Verify": self._verify},
                          {"Repair": self._repair}),
        ))

    def listen(self, socket):
        self._grpc.add_insecure_port("unix:" + socket)
        self._grpc.start()

    def host_gone(self, bound):
        self._gone.set()
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0, bound)

    def _configure(self, request, call):
        try:
            config = json.loads(request.config_json or b"{}")
        except ValueError as e:
            raise Fault("invalid_argument", f"the table is not JSON: {e}") from e
        if not isinstance(config, dict):
            raise Fault("invalid_argument", "the table is no JSON object")
        return contract.ConfigureResponse(diagnostics=self._doctor.configure(config, request, call))

    def _plan(self, request, call):
        return contract.PlanResponse(plan=self._doctor.plan(request.gateway, request.finding, call))

    def _verify(self, request, call):
        if not hasattr(self._doctor, "verify"):
            raise Fault("unsupported", "this doctor does not verify")
        return self._doctor.verify(request, call)

    def _repair(self, request, send, call):
        def progress(text, percent=None):
            send(contract.RepairResponse(progress=contract.RepairProgress(text=text, percent=percent)))

        send(contract.RepairResponse(result=self._doctor.repair(request, progress, call)))

    def _service(self, name, unary, streams=None):
        handlers, methods = {}, contract.service(name).methods_by_name
        for method, work in unary.items():
            handlers[method] = grpc.unary_unary_rpc_method_handler(self._unary(work, contract.of(methods[method].output_type)), *self._codec(methods[method]))
        for method, work in (streams or {}).items():
            handlers[method] = grpc.unary_stream_rpc_method_handler(self._stream(work), *self._codec(methods[method]))
        return grpc.method_handlers_generic_handler(PACKAGE + "." + name, handlers)

    @staticmethod
    def _codec(method):
        return contract.of(method.input_type).FromString, lambda message: message.SerializeToString()

    def _unary(self, work, response):
        def serve_call(request, context):
            with self._call(context) as call:
                return work(request, call) or response()
        return serve_call

    def _stream(self, work):
        def serve_call(request, context):
            with self._call(context) as call:
                yield from _sent(lambda send: work(request, send, call))
        return serve_call

    def _call(self, context):
        return _Counted(self, context)

    def count(self, by):
        with self._idle:
            self._running += by
            self._idle.notify_all()

    def new_call(self, context):
        return Call(context, self._gone)


class _Counted:
    """A call that is under way. Exceptions become errors that cross the boundary with their meaning."""

    def __init__(self, server, context):
        self._server, self._context = server, context

    def __enter__(self):
        self._server.count(1)
        return self._server.new_call(self._context)

    def __exit__(self, kind, error, _):
        self._server.count(-1)
        if error is None or kind is GeneratorExit:
            return False
        fault = error
        if not isinstance(error, Fault):  # a bug of this plugin
            logging.error("a call failed", exc_info=error)
            fault = Fault("internal", f"{kind.__name__}: {error}")
        message = str(fault)[:8 << 10]
        status = CODES.get(fault.code, grpc.StatusCode.INTERNAL)
        detail = contract.FaultDetail(code=fault.code, message=message, hint=fault.hint).SerializeToString()
        packed = _field(1, f"type.googleapis.com/{PACKAGE}.FaultDetail".encode()) + _field(2, detail)  # google.protobuf.Any
        rpc_status = bytes([1 << 3, status.value[0]]) + _field(2, message.encode()) + _field(3, packed)  # google.rpc.Status
        self._context.set_trailing_metadata((("grpc-status-details-bin", rpc_status),))
        self._context.abort(status, message)  # raises what grpc knows


def _field(number, data):
    """A protobuf field of text or bytes."""
    out, length = bytearray([number << 3 | 2]), len(data)
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return bytes(out) + data


def _sent(work):
    """What work sends from its thread, as a generator."""
    ready, items, ended = threading.Condition(), [], []

    def send(item):
        with ready:
            items.append(item)
            ready.notify()

    def run():
        try:
            work(send)
            outcome = None
        except BaseException as e:
            outcome = e
        with ready:
            ended.append(outcome)
            ready.notify()

    threading.Thread(target=run, daemon=True).start()
    while True:
        with ready:
            ready.wait_for(lambda: items or ended)
            batch, over = items[:], bool(ended)
            items.clear()
        yield from batch
        if over:
            if ended[0] is not None:
                raise ended[0]
            return
