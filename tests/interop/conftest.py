"""One stack for the whole suite: `baton serve` on vllm-pd.yaml. ENGINE says what its `vllm` is: baton (default) or vllm, which
takes minutes to start. Where something must happen at a moment, a sidecar of the test's own stands before the pair."""
import json
import os
import pathlib
import random
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from middleman import Middleman  # noqa: E402
from processes import Program, free_port  # noqa: E402
from stack import Stack, get, metric, post, wait_until  # noqa: E402

ENGINE = os.environ.get("ENGINE", "baton")
START = {"baton": 60, "vllm": 900}[ENGINE]  # seconds
PATIENCE = {"baton": 30, "vllm": 180}[ENGINE]  # for one request; longer than any answer may take
LEASE = {"baton": 6, "vllm": 45}[ENGINE]  # of prefilled KV; vLLM's first transfer has taken up to 32 s
EXPIRED = {"baton": "baton_kv_leases_expired_total", "vllm": "vllm:nixl_num_kv_expired_reqs_total"}[ENGINE]


class Pair:
    """The running pair. Prompts are token ids; each is new, so that only a transfer can bring its KV."""

    def __init__(self, stack):
        self.stack = stack
        self.prefill, self.decode = stack.pods("prefill")[0], stack.pods("decode")[0]

    @staticmethod
    def prompt(length):
        return [random.randrange(100, 1000) for _ in range(length)]

    @staticmethod
    def body(prompt, tokens=16, **members):
        return {"model": "storyteller", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, **members}

    def split(self, body, path="completions"):
        """Through gateway, sidecar and both engines; (headers, text)."""
        status, headers, text = post(f"{self.stack.url}/{path}", body, timeout=PATIENCE)
        assert status == 200, text
        assert self.prefill["address"] in headers["x-baton-prefill"], headers["x-baton-prefill"]
        return headers, text

    def alone(self, body, path="completions"):
        """By the prefill engine alone, which has computed the prompt itself."""
        status, _, text = post(f"http://{self.prefill['address']}:8000/v1/{path}", body, timeout=PATIENCE)
        assert status == 200, text
        return text

    def metric(self, pod, name, **labels):
        return metric(self.stack.engine_metrics(pod), name, **labels) or 0

    def pulled(self):
        return self.metric(self.decode, "vllm:prompt_tokens_by_source_total", source="external_kv_transfer")

    def expired(self):
        """Leases of the prefill engine that ended with nobody having pulled."""
        return self.metric(self.prefill, EXPIRED)

    def pinned(self):
        return sum(self.metric(pod, "vllm:kv_cache_usage_perc") for pod in (self.prefill, self.decode))

    def at_rest(self):
        wait_until(lambda: not any(self.metric(pod, f"vllm:num_requests_{state}")
                                   for pod in (self.prefill, self.decode) for state in ("running", "waiting")),
                   "both engines at rest", PATIENCE, step=0.2)

    def works(self):
        """A fresh prompt moves and is right."""
        body = self.body(self.prompt(70), logprobs=1)
        before = self.pulled()
        said = tokens(self.split(body)[1])
        assert said == tokens(self.alone(body))
        assert self.pulled() >= before + 64


class Detour:
    """A sidecar of its own before the pair, and on each leg a hop where things are held up."""

    def __init__(self, pair):
        self.prefill_hop = Middleman(free_port(), 8000, piece=256, host=pair.prefill["address"])
        self.decode_hop = Middleman(free_port(), 8001, piece=256, host=pair.decode["address"])
        self.metrics_port = free_port()
        self.headers = {"x-prefiller-host-port": f"127.0.0.1:{self.prefill_hop.port}"}
        self.sidecar = Program("sidecar", "--model-server-port", str(self.decode_hop.port), "--decoder-host", "127.0.0.1",
                               "--secure-proxy=false", "--prefill-failure-policy=fallback", f"--request-timeout={PATIENCE}s",
                               f"--kv-lease={LEASE}s", "--kv-lease-margin=2s", "--prefill-breaker-failures=0",
                               "--metrics-port", str(self.metrics_port))

    def metric(self, name, **labels):
        return metric(get(f"http://127.0.0.1:{self.metrics_port}/metrics"), f"baton_sidecar_{name}", **labels) or 0

    def ask(self, body):
        return post(f"{self.sidecar.url}/completions", body, self.headers, timeout=PATIENCE)

    def close(self):
        self.sidecar.stop()
        self.prefill_hop.close()
        self.decode_hop.close()


def tokens(text):
    """The tokens of a completion that is not streamed."""
    return json.loads(text)["choices"][0]["logprobs"]["tokens"]


def events(text):
    """The JSON of a stream's events; it must end in [DONE]."""
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]", text[-200:]
    return [json.loads(line) for line in lines[:-1]]


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    manifest = (ROOT / "tests/interop/vllm-pd.yaml").read_text()
    assert '"kv_lease_duration":120' in manifest
    ours = tmp_path_factory.mktemp("pair") / "vllm-pd.yaml"
    ours.write_text(manifest.replace('"kv_lease_duration":120', f'"kv_lease_duration":{LEASE}'))
    with Stack("--engine", ENGINE, "--request-timeout", str(PATIENCE - 5), files=[ours], seconds=START) as stack:
        running = Pair(stack)
        running.split(running.body(running.prompt(100)))  # the first transfer of a pair is slow
        yield running


@pytest.fixture(scope="module")
def detour(pair):
    made = Detour(pair)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def rest(request):
    yield
    if "pair" in request.fixturenames and "last" not in request.keywords:
        request.getfixturevalue("pair").at_rest()
