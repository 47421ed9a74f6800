"""The gateway tells the sidecar how long a request may take: a prefill engine that hangs costs half of that, and is then left alone."""
import os
import random
import signal
import time

import pytest

from processes import Pair, Program, free_port
from stack import get, metric, post, wait_until

LIMIT = 8  # seconds; the sidecar's own is 600

PICKER = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: pd-profile-handler, parameters: {threshold: 0}}
- {type: prefill-header-handler}
- {type: prefill-filter}
- {type: decode-filter}
- {type: max-score-picker}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: max-score-picker}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker}]}
"""


class Field:
    def __init__(self, pair, gateway, metrics_port):
        self.pair, self.gateway, self.metrics_port = pair, gateway, metrics_port

    def ask(self, **headers):
        body = {"model": "storyteller", "prompt": [random.randrange(100, 1000) for _ in range(100)], "max_tokens": 4, "temperature": 0}
        start = time.monotonic()
        status, told, text = post(f"{self.gateway.url}/completions", body, headers, timeout=LIMIT + 10)
        assert status == 200, text
        return told["x-baton-prefill"], time.monotonic() - start

    def attempts(self, result):
        text = get(f"http://127.0.0.1:{self.metrics_port}/metrics")
        return metric(text, "baton_sidecar_prefill_attempts_total", result=result) or 0


@pytest.fixture
def field(tmp_path):
    metrics_port = free_port()
    with Pair(sidecar_flags=("--prefill-failure-policy=fallback", "--prefill-breaker-failures=2",
                             f"--metrics-port={metrics_port}")) as pair:
        (tmp_path / "picker.yaml").write_text(PICKER)
        (tmp_path / "pods.yaml").write_text(
            "services:\n- name: story\n  models: [storyteller]\n  endpoints:\n"
            f"  - {{name: d0, address: '127.0.0.1:{pair.sidecar.port}', role: decode}}\n"
            f"  - {{name: p0, address: '127.0.0.1:{pair.prefill.port}', role: prefill}}\n")
        with Program("gateway", "--endpoints", str(tmp_path / "pods.yaml"), "--config-file", str(tmp_path / "picker.yaml"),
                     "--request-timeout", str(LIMIT), "--proof-headers") as gateway:
            made = Field(pair, gateway, metrics_port)
            wait_until(lambda: made.ask()[0].startswith("p0"), "both legs")
            yield made


def test_a_prefill_that_hangs_leaves_time_for_decode_and_opens_its_breaker(field):
    os.kill(field.pair.prefill.process.pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            prefill, took = field.ask()
            assert prefill == "none; reason=fallback"
            assert LIMIT / 2 - 1 < took < LIMIT
        assert field.attempts("timeout") == 2
        # One of the next finds it open: it opens for longer each time.
        wait_until(lambda: field.ask()[0] and field.attempts("open") > 0, "the breaker to be open", 60)
    finally:
        os.kill(field.pair.prefill.process.pid, signal.SIGCONT)
    wait_until(lambda: field.ask()[0].startswith("p0"), "the probe to close the breaker", 60)


def test_clients_in_a_hurry_do_not_open_it(field):
    os.kill(field.pair.prefill.process.pid, signal.SIGSTOP)
    try:
        for _ in range(4):
            assert field.ask(**{"x-request-timeout-ms": "1000"})[0] == "none; reason=fallback"
        assert (field.attempts("timeout"), field.attempts("open")) == (4, 0)
    finally:
        os.kill(field.pair.prefill.process.pid, signal.SIGCONT)
    assert field.ask()[0].startswith("p0")
