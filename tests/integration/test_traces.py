"""Traces: what a collector sees of requests that pass through gateway, sidecar and both engines."""
import os
import secrets
import subprocess

import pytest

from otlp_collector import Collector
from processes import CONNECTOR, Program, free_port
from stack import BATON, FIRST_TURN, MODELS, Stack, get, metric, post, wait_until

PROMPT = {"model": "storyteller", "prompt": list(range(100, 200)), "max_tokens": 4, "temperature": 0}
SIDECAR = "llm_d.pd_proxy.POST /v1/"


def a_trace(sampled=True):
    """(trace id, span id, headers) of a client that traces."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, {"traceparent": f"00-{trace}-{span}-{'01' if sampled else '00'}", "tracestate": "client=1"}


def only(spans, name, service=None):
    found = [s for s in spans if s.name == name and service in (None, s.service)]
    assert len(found) == 1, [(s.service, s.name) for s in spans]
    return found[0]


def never_tell(spans, *texts):
    for span in spans:
        for value in (span.error, *span.attributes.values()):
            assert not any(text in str(value) for text in texts), (span.name, value)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_one_trace_spans_gateway_sidecar_and_both_engines(protocol):
    with Collector(protocol) as collector, \
            Stack("--otlp-traces-endpoint", collector.url,
                  env={**collector.env, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k%20k"}) as stack:
        trace, client, headers = a_trace()
        status, _, text = stack.chat(FIRST_TURN, headers, max_tokens=4)
        assert status == 200, text

        sidecar_name = SIDECAR + "chat/completions"
        spans = collector.wait_for(trace, ["gateway.request", "gateway.request_orchestration", sidecar_name,
                                           "prefill", "decode", "llm_request", "llm_request"])
        assert len(spans) == 7, [(s.service, s.name) for s in spans]
        gateway, sidecar = only(spans, "gateway.request"), only(spans, sidecar_name)
        prefill, decode = only(spans, "prefill"), only(spans, "decode")
        engines = {s.parent: s for s in spans if s.name == "llm_request"}
        assert gateway.parent == client
        assert only(spans, "gateway.request_orchestration").parent == gateway.span
        assert sidecar.parent == gateway.span
        assert prefill.parent == decode.parent == sidecar.span
        assert set(engines) == {prefill.span, decode.span}
        assert not any(s.failed for s in spans)
        assert all(s.start <= s.end for s in spans)
        assert prefill.end <= decode.start + 1_000_000
        assert sidecar.attributes["llm_d.pd_proxy.disaggregation_used"] is True

        prefilled, decoded = engines[prefill.span].attributes, engines[decode.span].attributes
        assert prefilled["gen_ai.usage.completion_tokens"] == 1
        assert decoded["gen_ai.usage.completion_tokens"] == 4
        assert decoded["gen_ai.request.max_tokens"] == 4
        assert decoded["gen_ai.response.model"] == "storyteller"
        assert decoded["baton.prompt_tokens.remote"] > 0
        assert 0 < decoded["gen_ai.latency.time_to_first_token"] <= decoded["gen_ai.latency.e2e"]
        never_tell(spans, "robot", "story about")
        assert all(h["api-key"] == "k k" for h in collector.headers)

        # A client that is not sampled is not, anywhere; one without a trace begins one.
        quiet, _, headers = a_trace(sampled=False)
        assert stack.chat(FIRST_TURN, headers, max_tokens=4)[0] == 200
        assert stack.chat(FIRST_TURN, max_tokens=4)[0] == 200
        root = wait_until(lambda: [s for s in collector.spans() if s.name == "gateway.request" and not s.parent],
                          "a trace of the gateway's own")[0]
        collector.wait_for(root.trace, ["gateway.request", sidecar_name, "decode", "llm_request"])
        assert collector.spans(quiet) == []


@pytest.fixture
def collector():
    with Collector("grpc") as running:
        yield running


def exporting(collector, service):
    return {**collector.env, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": service}


def test_a_failing_prefill_and_the_decode_that_replaces_it_stand_in_one_trace(collector):
    with Program("engine", "storyteller", *CONNECTOR,
                 env={**exporting(collector, "inference-server-decode"),
                      "VLLM_NIXL_SIDE_CHANNEL_PORT": str(free_port())}) as decode, \
            Program("sidecar", "--model-server-port", str(decode.port), "--decoder-host", "127.0.0.1", "--tracing",
                    "--secure-proxy=false", "--prefill-failure-policy=fallback",
                    env=exporting(collector, "routing-sidecar")) as sidecar:
        trace, client, headers = a_trace()
        headers["x-prefiller-host-port"] = f"127.0.0.1:{free_port()}"
        status, answered, text = post(f"{sidecar.url}/completions", PROMPT, headers)
        assert status == 200, text
        assert answered["x-baton-prefill"] == "none; reason=fallback"

        spans = collector.wait_for(trace, [SIDECAR + "completions", "prefill", "decode", "llm_request"])
        request = only(spans, SIDECAR + "completions", "routing-sidecar")
        assert request.parent == client
        assert not request.failed
        assert request.attributes["llm_d.pd_proxy.disaggregation_used"] is False
        failed = [s for s in spans if s.name == "prefill"]
        assert all(s.failed and s.error and s.parent == request.span for s in failed)
        leg = only(spans, "decode")
        assert not leg.failed and leg.parent == request.span
        assert only(spans, "llm_request", "inference-server-decode").parent == leg.span


def test_a_collector_that_is_away_costs_spans_and_one_line_but_no_request():
    with Program("engine", "storyteller", "--otlp-traces-endpoint", f"http://127.0.0.1:{free_port()}",
                 env={"OTEL_BSP_SCHEDULE_DELAY": "5", "OTEL_BSP_MAX_QUEUE_SIZE": "2"}) as engine:
        for _ in range(20):
            assert post(f"{engine.url}/completions", PROMPT)[0] == 200
        wait_until(lambda: engine.metric("baton_trace_export_failures_total") > 1, "two failed exports")
        assert engine.metric("baton_trace_spans_dropped_total", reason="queue-full") > 0
        assert post(f"{engine.url}/completions", PROMPT)[0] == 200
        engine.log.seek(0)
        assert engine.log.read().count("spans do not reach the collector") == 1


def test_spans_of_the_last_requests_are_sent_before_a_program_ends(collector):
    env = {**exporting(collector, "last"), "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    trace, _, headers = a_trace()
    with Program("engine", "storyteller", env=env) as engine:
        assert post(f"{engine.url}/completions", PROMPT, headers)[0] == 200
        assert collector.spans(trace) == []
    assert [s.name for s in collector.spans(trace)] == ["llm_request"]


@pytest.mark.parametrize("command", [
    ["engine", "storyteller"], ["gateway", "--endpoints", "/dev/null"], ["sidecar", "--tracing"],
    ["epp", "--pool-name=p", "--config-text", """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {name: file, type: file-discovery, parameters: {path: /nowhere}}]
dataLayer: {discovery: {pluginRef: file}}
"""], ["serve", "--port", "0"]], ids=lambda c: c[0])
def test_a_setting_that_is_not_known_ends_a_program_with_one_line(command, tmp_path):
    if command[0] == "serve":
        command = [*command, "--state-dir", str(tmp_path)]
    ended = subprocess.run([BATON, *command], capture_output=True, text=True, timeout=30, env={
        **os.environ, "BATON_MODELS_DIR": str(MODELS), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_TRACES_SAMPLER": "sometimes"})
    assert ended.returncode == 2, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if "sometimes" in line]
    assert len(lines) == 1, ended.stderr
    assert "OTEL_TRACES_SAMPLER=sometimes: expected always_on" in lines[0]


def test_nothing_is_exported_without_an_endpoint():
    with Program("engine", "storyteller") as engine:
        assert post(f"{engine.url}/completions", PROMPT, a_trace()[2])[0] == 200
        assert metric(get(f"{engine.base}/metrics"), "baton_trace_spans_exported_total") is None
