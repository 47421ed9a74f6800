"""One stack for the whole suite: `baton serve` on vllm-pd.yaml. ENGINE says what its `vllm` is: baton (default) or vllm, which
takes minutes to start."""
import json
import os
import pathlib
import random
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from stack import Stack, metric, post, wait_until  # noqa: E402

ENGINE = os.environ.get("ENGINE", "baton")
START = {"baton": 60, "vllm": 900}[ENGINE]  # seconds
PATIENCE = {"baton": 30, "vllm": 180}[ENGINE]  # for one request; longer than any answer may take


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


def tokens(text):
    """The tokens of a completion that is not streamed."""
    return json.loads(text)["choices"][0]["logprobs"]["tokens"]


def events(text):
    """The JSON of a stream's events; it must end in [DONE]."""
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]", text[-200:]
    return [json.loads(line) for line in lines[:-1]]


@pytest.fixture(scope="session")
def pair():
    with Stack("--engine", ENGINE, "--request-timeout", str(PATIENCE - 5), files=[ROOT / "tests/interop/vllm-pd.yaml"],
               seconds=START) as stack:
        running = Pair(stack)
        running.split(running.body(running.prompt(100)))  # the first transfer of a pair is slow
        yield running


@pytest.fixture(autouse=True)
def rest(request):
    yield
    if "pair" in request.fixturenames and "last" not in request.keywords:
        request.getfixturevalue("pair").at_rest()
