"""Behind real Envoy, with priorities from objectives: running requests of low priority end for better ones that wait."""
import http.client
import sys
import threading

import pytest
from envoy_gateway import ROOT, envoy_program
from test_picker import NAME, Picker, pod, pool

sys.path += [str(ROOT / "tests" / "integration"), str(ROOT / "tests" / "e2e" / "envoy")]
import gateway  # noqa: E402
from gateway import EchoPod, Envoy, call, completion, wait_until  # noqa: E402

CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}, {type: concurrency-detector, parameters: {maxConcurrency: 1}}]
flowControl: {saturationDetector: {pluginRef: concurrency-detector}, enableEviction: true}
"""


def objective(namespace, name, priority):
    return {"apiVersion": "inference.networking.x-k8s.io/v1alpha2", "kind": "InferenceObjective", "metadata": {"name": name, "namespace": namespace},
            "spec": {"poolRef": {"group": "inference.networking.k8s.io", "name": NAME}, "priority": priority}}  # fmt: skip


@pytest.fixture
def served(plane, namespace, tmp_path, monkeypatch):
    """Room for one request at a time, and the objectives low (-1) and high (5)."""
    monkeypatch.setattr(gateway, "ENVOY", envoy_program())
    with EchoPod() as engine:
        plane.apply(pool(namespace, (engine.port,)))
        plane.apply([objective(namespace, "low", -1), objective(namespace, "high", 5)])
        pod(plane, namespace, "a", "127.0.0.1")
        with Picker(plane, tmp_path, namespace, "p", f"--config-text={CONFIG}") as picker, Envoy(picker, [engine.port]) as envoy:
            picker.becomes("a-rank-0")
            yield picker, engine, envoy


def ask(envoy, objective, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(envoy.port, "POST", "/v1/completions", completion(), {"x-llm-d-inference-objective": objective, **headers})


def test_a_request_without_an_answer_yet_gets_a_429_with_its_reason(served):  # epp:X061
    picker, engine, envoy = served
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(ask(envoy, "low", x_wait="60")))
    waiting.start()
    wait_until(lambda: engine.requests == 1, "the pod to have the request")
    assert ask(envoy, "high").status == 200
    waiting.join(timeout=30)
    (evicted,) = answers
    assert (evicted.status, evicted.body) == (429, b"request evicted by flow control")
    assert evicted.headers["x-llm-d-request-dropped-reason"] == "evicted"
    assert 'llm_d_epp_flow_control_revocations_total{outcome="confirmed"' in picker.scrape()[1]


def test_an_answer_that_has_begun_is_cut(served):  # epp:X061
    _, engine, envoy = served
    connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
    connection.request("POST", "/v1/completions", completion(stream=True), {"x-llm-d-inference-objective": "low", "x-stream": "1200", "x-pause": "0.05"})
    answer = connection.getresponse()
    assert answer.read1(100)
    assert ask(envoy, "high").status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    assert engine.requests == 2
