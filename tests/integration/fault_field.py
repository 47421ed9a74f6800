"""A prefill engine, a decode engine, the sidecar before it, and a hop between each two of them where faults happen.

    client ── sidecar ── [decode hop] ── decode engine
                 │                            │
           [prefill hop]                   [KV hop]
                 └── prefill engine <─────────┘
"""
import contextlib
import dataclasses
import http.client
import json
import os
import random
import signal
import threading
import time

from middleman import Middleman
from processes import Program, free_port
from stack import get, metric, wait_until

DEADLINE = 60     # of a request at the sidecar, seconds: what does not hang must be right, also on a busy machine
HANG = 6          # what a client allows that meets something that hangs
GRACE = 6         # more until the client must have its answer, on a busy machine
LEASE = 8
TOKENS = 400      # of an answer: enough for a middle, also when a busy engine puts many into one event

KV = '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_connector_extra_config":{"kv_lease_duration":%d}}' % LEASE


@dataclasses.dataclass
class Answer:
    """What a client has seen of one answer."""
    status: int = 0          # 0: not even a head
    headers: dict = dataclasses.field(default_factory=dict)
    text: str = ""           # of the tokens
    error: str = ""          # what the answer says was wrong
    whole: bool = False      # ended as the protocol ends
    seconds: float = 0.0

    @property
    def kind(self):
        """whole, broken (a stream that visibly lacks its end), or an error's status."""
        if self.status != 200:
            return self.status
        return "whole" if self.whole and not self.error else "told" if self.error else "broken"


def prompt_of(name):
    return [random.Random(name).randrange(100, 1000) for _ in range(300)]


def body_of(name, stream=True):
    return json.dumps({"model": "storyteller", "prompt": prompt_of(name), "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True,
                       "stream": stream}).encode()


def read_events(answer, into):
    for line in answer:
        if line == b"data: [DONE]\n":
            into.whole = True
        elif line.startswith(b"data: {"):
            event = json.loads(line[6:])
            if "error" in event:
                into.error = event["error"]["message"]
            else:
                into.text += event["choices"][0]["text"]


def ask(program, body, headers, limit=DEADLINE):
    """The whole exchange, whatever becomes of it."""
    out, start = Answer(), time.monotonic()
    headers = {**headers, "x-request-timeout-ms": str(limit * 1000)}
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=limit + GRACE)
    with contextlib.closing(connection), contextlib.suppress(http.client.HTTPException, ConnectionError):
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        out.status, out.headers = answer.status, {k.lower(): v for k, v in answer.getheaders()}
        if answer.status == 200:
            read_events(answer, out)
        else:
            out.error = json.loads(answer.read())["error"]["message"]
            out.whole = True
    out.seconds = time.monotonic() - start
    return out


class Field:
    """`prefill_flags`: of its prefill engine, beside what both engines have."""

    def __init__(self, *prefill_flags):
        self._prefill_flags = prefill_flags
        self._close = contextlib.ExitStack()
        self.plain = self._close.enter_context(Program("engine", "storyteller"))
        self.prefill, self.kv_port = self.engine(*prefill_flags)
        self.decode, _ = self.engine()
        self.prefill_hop = Middleman(free_port(), self.prefill.port)
        self.prefill_hop.edit = self._lead_the_pull_over_its_hop
        self.decode_hop = Middleman(free_port(), self.decode.port, piece=512)
        self.kv_hop = Middleman(free_port(), self.kv_port)
        self.headers = {"x-prefiller-host-port": f"127.0.0.1:{self.prefill_hop.port}"}
        self.sidecar = self._sidecar()

    def close(self):
        for hop in (self.prefill_hop, self.decode_hop, self.kv_hop):
            hop.close()
        for program in (self.sidecar, self.decode, self.prefill):
            program.stop()
        self._close.close()

    @staticmethod
    def engine(*flags):
        """The program, and where its KV is fetched."""
        kv_port = free_port()
        return Program("engine", "storyteller", "--no-enable-prefix-caching", "--kv-transfer-config", KV, *flags,
                       env={"VLLM_NIXL_SIDE_CHANNEL_PORT": str(kv_port)}), kv_port

    def _sidecar(self):
        self.metrics_port = free_port()
        return self.sidecar_of("fallback", "--metrics-port", str(self.metrics_port))

    def sidecar_of(self, policy, *flags):
        return Program("sidecar", "--model-server-port", str(self.decode_hop.port), "--decoder-host", "127.0.0.1",
                       "--secure-proxy=false", f"--prefill-failure-policy={policy}", f"--request-timeout={DEADLINE}s",
                       f"--kv-lease={LEASE}s", "--kv-lease-margin=1s", "--prefill-breaker-failures=0", *flags)

    def _lead_the_pull_over_its_hop(self, answer):
        return answer.replace(b'"remote_port":%d' % self.kv_port, b'"remote_port":%d' % self.kv_hop.port)

    def expected(self, name):
        return self.expected_of(body_of(name))

    def expected_of(self, body):
        """What one engine says that nothing happens to."""
        answer = ask(self.plain, body, {})
        assert answer.kind == "whole" and answer.text, answer
        return answer.text

    def ask(self, name, limit=DEADLINE):
        return ask(self.sidecar, body_of(name), self.headers, limit)

    def outcomes(self):
        text = get(f"http://127.0.0.1:{self.metrics_port}/metrics")
        return {o: metric(text, "baton_sidecar_requests_total", outcome=o) or 0
                for o in ("aggregated", "disaggregated", "fallback", "prefill_failed", "decode_failed", "client_gone")}

    @staticmethod
    def kill(program):
        program.process.kill()
        program.process.wait()

    def mend(self):
        """Replaces what is dead, wakes what is stopped."""
        for program in (self.prefill, self.decode, self.sidecar):
            if program.process.poll() is None:
                os.kill(program.process.pid, signal.SIGCONT)
        for hop in (self.prefill_hop, self.decode_hop, self.kv_hop):
            hop.disarm()
            hop.hang_up()
        if self.prefill.process.poll() is not None:
            self.prefill, self.kv_port = self.engine(*self._prefill_flags)
            self.prefill_hop.upstream, self.kv_hop.upstream = self.prefill.port, self.kv_port
        if self.decode.process.poll() is not None:
            self.decode, _ = self.engine()
            self.decode_hop.upstream = self.decode.port
        if self.sidecar.process.poll() is not None:
            self.sidecar = self._sidecar()

    def at_rest(self):
        for program in (self.prefill, self.decode):
            wait_until(program.at_rest, f"nothing running, pinned or leased on port {program.port}", LEASE + 20, step=0.05)


@contextlib.contextmanager
def harmless_afterwards(field):
    """What holds after every fault: at rest, and the next request goes over both legs."""
    try:
        yield
    finally:
        field.mend()
    field.at_rest()
    again = field.ask("afterwards")
    assert (again.kind, again.text) == ("whole", field.expected("afterwards")), again
    assert int(again.headers["x-baton-remote-tokens"]) > 0, again.headers
    field.at_rest()


class Later:
    """A call on a thread of its own."""

    def __init__(self, call):
        self.value = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call):
        self.value = call()

    def result(self, seconds):
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"no end within {seconds} s"
        return self.value
