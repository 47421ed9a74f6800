"""A scripted OTLP collector on a free port: what programs export to it, decoded by OpenTelemetry's own messages."""
import concurrent.futures
import dataclasses
import http.server
import threading

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from stack import wait_until


@dataclasses.dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace: str
    span: str
    parent: str
    kind: int
    start: int
    end: int
    failed: bool
    error: str
    attributes: dict

    def __hash__(self):
        return hash(self.span)


def _value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


class Collector:
    """Over "grpc" or "http/protobuf". `env` makes a program export here, soon after each span."""

    def __init__(self, protocol):
        self._spans = []
        self._lock = threading.Lock()
        self.headers = []
        if protocol == "grpc":
            self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
            trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Servicer(self), self._server)
            port = self._server.add_insecure_port("127.0.0.1:0")
            self._server.start()
            self._stop = lambda: self._server.stop(grace=None).wait()
        else:
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
            port = self._server.server_address[1]
            thread = threading.Thread(target=self._server.serve_forever, daemon=True)
            thread.start()
            self._stop = lambda: (self._server.shutdown(), self._server.server_close(), thread.join())
        path = "" if protocol == "grpc" else "/v1/traces"
        self.url = f"http://127.0.0.1:{port}{path}"
        self.env = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_SCHEDULE_DELAY": "20",
                    "OTEL_TRACES_SAMPLER": "parentbased_always_on"}

    def take(self, request, headers):
        with self._lock:
            self.headers.append(headers)
            for of_process in request.resource_spans:
                resource = {a.key: _value(a.value) for a in of_process.resource.attributes}
                for scope in of_process.scope_spans:
                    self._spans += [Span(
                        resource["service.name"], s.name, s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex(),
                        s.kind, s.start_time_unix_nano, s.end_time_unix_nano, s.status.code == s.status.STATUS_CODE_ERROR,
                        s.status.message, {a.key: _value(a.value) for a in s.attributes}) for s in scope.spans]

    def spans(self, trace=None):
        with self._lock:
            return [s for s in self._spans if trace in (None, s.trace)]

    def wait_for(self, trace, names, seconds=20):
        """The spans of the trace once there are (at least) as many of each name as in `names`."""
        def there():
            spans = self.spans(trace)
            found = [s.name for s in spans]
            return spans if all(found.count(n) >= names.count(n) for n in names) else None
        try:
            return wait_until(there, f"spans {names}", seconds)
        except AssertionError:
            raise AssertionError(f"expected {names}, there are {[(s.service, s.name) for s in self.spans(trace)]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop()


class _Servicer(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector):
        self._collector = collector

    def Export(self, request, context):
        self._collector.take(request, dict(context.invocation_metadata()))
        return trace_service_pb2.ExportTraceServiceResponse()


def _handler_of(collector):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fits = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if fits:
                request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
                collector.take(request, {k.lower(): v for k, v in self.headers.items()})
            answer = trace_service_pb2.ExportTraceServiceResponse().SerializeToString() if fits else b"no such path"
            self.send_response(200 if fits else 404)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    return Handler
