"""Envoy with ext_proc, the picker behind it, and a pod that echoes: each a process or a thread on free ports."""
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error

from processes import free_port
from stack import BATON, get, metric, wait_until

ENVOY = pathlib.Path(next(p for p in sys.path if p.endswith("site-packages"))) / "envoy" / "_bin" / "envoy"

DEFAULT = """
plugins:
- {name: file, type: file-discovery, parameters: {path: ENDPOINTS, watchFile: true}}
- {type: queue-scorer}
- {type: prefix-cache-scorer}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, weight: 3}]}
"""
SPLIT = """
plugins:
- {name: file, type: file-discovery, parameters: {path: ENDPOINTS, watchFile: true}}
- {type: pd-profile-handler, parameters: {threshold: 100}}
- {type: prefill-header-handler}
- {type: prefill-filter}
- {type: decode-filter}
- {type: prefix-cache-scorer}
- {type: load-aware-scorer}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: load-aware-scorer}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: load-aware-scorer}]}
"""
HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\ndataLayer: {discovery: {pluginRef: file}}\n"


def endpoint(name, port, role=None):
    return {"name": name, "address": "127.0.0.1", "port": str(port), "labels": {"llm-d.ai/role": role} if role else {}}


class Process:
    """A child with its output in a file; `ready` is asked until it says yes."""

    def __init__(self, command, ready, what):
        self.log = tempfile.NamedTemporaryFile(mode="w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        try:
            wait_until(lambda: self._alive() and ready(), what, 60)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.text()}")

    def _alive(self):
        assert self.process.poll() is None, self.text()
        return True

    def text(self):
        return pathlib.Path(self.log.name).read_text()

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=30)


class Picker:
    """`baton epp` with its endpoints in a file. start() again after kill() uses the same ports."""

    def __init__(self, endpoints, config=DEFAULT, flags=()):
        self.flags = flags
        self.folder = tempfile.TemporaryDirectory(prefix="baton-epp-")
        self.grpc, self.health, self.metrics_port = free_port(), free_port(), free_port()
        self.endpoints(endpoints)
        text = HEAD + config.replace("ENDPOINTS", f"{self.folder.name}/endpoints.yaml")
        (pathlib.Path(self.folder.name) / "picker.yaml").write_text(text)
        self.start()

    def endpoints(self, endpoints):
        path = pathlib.Path(self.folder.name) / "endpoints.yaml"
        path.with_suffix(".new").write_text(json.dumps({"endpoints": endpoints}))
        path.with_suffix(".new").rename(path)

    def start(self):
        command = [BATON, "epp", "--pool-name=pool", f"--config-file={self.folder.name}/picker.yaml",
                   f"--grpc-port={self.grpc}", f"--grpc-health-port={self.health}",
                   f"--metrics-port={self.metrics_port}", "--zap-encoder=json", *self.flags]
        self.process = Process(command, lambda: self._metrics() is not None, "the picker")

    def _metrics(self):
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return get(f"http://127.0.0.1:{self.metrics_port}/metrics")

    def knows(self, *names):
        return all(f'model_server_endpoint="{name}"' in self._metrics() for name in names)

    def metric(self, name, **labels):
        return metric(self._metrics(), name, **labels) or 0

    def kill(self, number=signal.SIGKILL):
        self.process.kill(number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill(signal.SIGTERM)
        self.folder.cleanup()


class Envoy:
    """A gateway before the picker. Requests that come without a pick go round robin to `pods`."""

    def __init__(self, picker, pods, mode="FULL_DUPLEX_STREAMED", failure_open=False, buffer=32768, retry_on=""):
        self.port, self.admin = free_port(), free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        addresses = ", ".join("{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}" % p for p in pods)
        text = (pathlib.Path(__file__).parent / "envoy.yaml").read_text()
        for name, value in (("ADMIN", self.admin), ("PICKER", picker.grpc), ("FALLBACK", addresses), ("MODE", mode),
                            ("BUFFER", buffer), ("RETRY", retry_on), ("OPEN", str(failure_open).lower()), ("PORT", self.port)):
            text = text.replace(f"@{name}@", str(value))
        self.config = tempfile.NamedTemporaryFile(mode="w", suffix=".yaml")
        self.config.write(text)
        self.config.flush()
        self.process = Process([str(ENVOY), "-c", self.config.name, "--concurrency", "1", "--log-level", "warn",
                                "--base-id", str(self.port), "--drain-time-s", "1"], self._ready, "Envoy")

    def _ready(self):
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return get(f"http://127.0.0.1:{self.admin}/ready", timeout=2).startswith("LIVE")

    def stat(self, name):
        """A number of Envoy's own."""
        return int(get(f"http://127.0.0.1:{self.admin}/stats?filter=^{name}$").split(": ")[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill(signal.SIGTERM)


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    def json(self):
        return json.loads(self.body)


def call(port, method, path, body=None, headers=None, timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return Answer(response, response.read())
    finally:
        connection.close()


def read_body(handler):
    """Of a request to a server of http.server, which knows no chunks."""
    if "content-length" in handler.headers:
        return handler.rfile.read(int(handler.headers["content-length"]))
    out = bytearray()
    while size := int(handler.rfile.readline(), 16):
        out += handler.rfile.read(size)
        handler.rfile.readline()
    while handler.rfile.readline().strip():
        pass
    return bytes(out)


class EchoPod:
    """Answers with what it got, after `failing` 503s: headers, length and digest of the body. A stream where `x-stream` says how many events, one
    per `x-pause` seconds. All of it after `x-wait` seconds, and with `x-hold` not before release(). /metrics as an engine's, with `waiting`
    requests."""

    def __init__(self):
        pod = self
        pod.requests = pod.failing = pod.waiting = 0
        pod.released = threading.Event()
        pod.stopping = threading.Event()
        pod.sockets = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                pod.sockets.append(self.request)

            def do_GET(self):
                if self.path == "/metrics":
                    return self.reply(b"vllm:num_requests_waiting %d\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0\n" % pod.waiting)
                self.reply(json.dumps({"path": self.path}).encode())

            def do_POST(self):
                pod.requests += 1
                body = read_body(self)
                if "x-hold" in self.headers:
                    pod.released.wait(60)
                if pod.failing > 0:
                    pod.failing -= 1
                    return self.reply(b"{}", 503)
                if pod.stopping.wait(float(self.headers.get("x-wait", "0"))):
                    return
                if "x-stream" in self.headers:
                    return self.events(int(self.headers["x-stream"]), float(self.headers.get("x-pause", "0")))
                small = body.decode(errors="replace") if len(body) < 4096 else None
                self.reply(json.dumps({"bytes": len(body), "sha": hashlib.sha256(body).hexdigest(), "text": small,
                                       "headers": {k.lower(): v for k, v in self.headers.items()},
                                       "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode())

            def reply(self, body, status=200):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def events(self, count, pause):
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    for i in range(count):
                        data = b'data: {"choices":[{"index":0,"text":"%d"}]}\n\n' % i
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                        self.wfile.flush()
                        if pod.stopping.wait(pause):
                            return
                    last = b'data: {"usage":{"prompt_tokens":5,"completion_tokens":%d}}\n\ndata: [DONE]\n\n' % count
                    self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(last), last))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def endpoint(self, name, role=None):
        return endpoint(name, self.port, role)

    def release(self):
        self.released.set()

    def die(self):
        """As a killed process: nothing listens any more, its connections are cut."""
        self.__exit__()
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.release()
        self.server.shutdown()
        self.server.server_close()


class Load:
    """Clients that ask without a pause; statuses of their answers, 0 for one that broke off."""

    def __init__(self, envoy, clients=4):
        self._answers = []  # (when the request began, status)
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(envoy, client)) for client in range(clients)]

    def _ask(self, envoy, client):
        at = 0
        while not self._ends.is_set():
            at += 1
            begun = time.monotonic()
            try:
                status = call(envoy.port, "POST", "/v1/completions", completion(user=f"{client}-{at}")).status
            except (http.client.HTTPException, ConnectionError):
                status = 0
            self._answers.append((begun, status))

    @property
    def statuses(self):
        return [status for _, status in self._answers]

    def begun_since(self, moment):
        """Statuses of requests that began at that moment of the monotonic clock or later."""
        return [status for begun, status in self._answers if begun >= moment]

    def answers(self, more, status=200):
        """Waits for so many more answers of that status."""
        wanted = self.statuses.count(status) + more
        wait_until(lambda: self.statuses.count(status) >= wanted, f"{more} more answers {status}", 60)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        for thread in self._threads:
            thread.join()


def completion(size=16, **members):
    """The bytes of a completion request of about `size` bytes."""
    words = "".join(f"word{i} " for i in range(size // 6 + 1))[:size]
    return json.dumps({"model": "m", "prompt": words, **members}).encode()


def digest(body):
    return hashlib.sha256(body).hexdigest()


__all__ = ["Answer", "EchoPod", "Envoy", "Load", "Picker", "SPLIT", "call", "completion", "digest", "endpoint", "os", "time", "wait_until"]
