"""Single programs on free ports of this machine: an engine, a pair with a sidecar before it."""
import contextlib
import itertools
import os
import random
import socket
import subprocess
import tempfile
import urllib.error

from stack import BATON, MODELS, get, metric, wait_until


# Below the range that outgoing connections take their ports from: what is free here stays free.
_ports = itertools.cycle(random.sample(range(10_000, 32_000), 20_000))


def free_port():
    for port in _ports:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


class Program:
    """`baton ARGUMENTS` on 127.0.0.1, once /health answers."""

    def __init__(self, *arguments, env=None):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.base}/v1"
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [BATON, *arguments, "--host", "127.0.0.1", "--port", str(self.port)], stdout=self.log, stderr=self.log,
            env={**os.environ, "BATON_MODELS_DIR": str(MODELS), **(env or {})})
        try:
            wait_until(self._healthy, f"{arguments[0]} on port {self.port}")
        except AssertionError:
            self.stop()
            self.log.seek(0)
            raise AssertionError(self.log.read())

    def _healthy(self):
        assert self.process.poll() is None
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return get(f"{self.base}/health", timeout=2) is not None

    def metric(self, name, **labels):
        return metric(get(f"{self.base}/metrics"), name, **labels)

    def at_rest(self):
        """Nothing runs, waits, is pinned or leased."""
        text = get(f"{self.base}/metrics")
        return not any(metric(text, name) for name in (
            "baton_kv_blocks_pinned", "baton_kv_blocks_leased", "vllm:num_requests_running",
            "vllm:num_requests_waiting"))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


CONNECTOR = ("--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}')


def engine(*flags, kv=False):
    env = {"VLLM_NIXL_SIDE_CHANNEL_PORT": str(free_port())} if kv else None
    return Program("engine", "storyteller", "--enable-prompt-tokens-details", *(CONNECTOR if kv else ()), *flags, env=env)


class Pair:
    """A prefill engine, a decode engine and its sidecar; requests go to `.url` with `.headers`."""

    def __init__(self, prefill_flags=(), decode_flags=(), sidecar_flags=()):
        with contextlib.ExitStack() as started:
            self.prefill = started.enter_context(engine(*prefill_flags, kv=True))
            self.decode = started.enter_context(engine(*decode_flags, kv=True))
            self.sidecar = started.enter_context(Program(
                "sidecar", "--model-server-port", str(self.decode.port), "--decoder-host", "127.0.0.1",
                "--secure-proxy=false", *sidecar_flags))
            self._programs = started.pop_all()
        self.url = self.sidecar.url
        self.headers = {"x-prefiller-host-port": f"127.0.0.1:{self.prefill.port}"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._programs.close()
