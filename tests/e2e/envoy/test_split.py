"""Prefill and decode on real engines behind Envoy: the picker's choice reaches the sidecar, the KV reaches the decode engine."""
import http.client
import json

import pytest

from gateway import SPLIT, Envoy, Picker, call, endpoint
from processes import Pair


def story(seed):
    """A prompt that no pod has seen: prompts share only what comes before the first difference."""
    return f"{seed}: write a story about a fox. " + "item after item " * 40


@pytest.fixture(scope="module")
def split():
    with Pair() as pair:
        pods = [endpoint("decode-0", pair.sidecar.port, "decode"), endpoint("prefill-0", pair.prefill.port, "prefill")]
        with Picker(pods, SPLIT) as picker, Envoy(picker, [pair.sidecar.port]) as envoy:
            yield pair, picker, envoy


def chat(envoy, text, **members):
    body = {"model": "storyteller", "messages": [{"role": "user", "content": text}], "max_tokens": 12, "temperature": 0, **members}
    return call(envoy.port, "POST", "/v1/chat/completions", body)


def test_a_long_new_prompt_is_prefilled_elsewhere_and_gives_the_same_text(split):
    pair, picker, envoy = split
    alone = call(pair.decode.port, "POST", "/v1/chat/completions",
                 {"model": "storyteller", "messages": [{"role": "user", "content": story("one")}], "max_tokens": 12, "temperature": 0})
    answer = chat(envoy, story("one"))
    assert answer.status == 200, answer.body
    assert answer.json()["choices"][0]["message"]["content"] == alone.json()["choices"][0]["message"]["content"]
    assert picker.metric("llm_d_epp_disagg_decision_total", decision_type="prefill-decode") >= 1
    assert picker.metric("llm_d_epp_request_input_tokens_count", model_name="storyteller") >= 1


def test_the_prefill_engine_is_the_one_that_the_picker_names(split):  # epp:D014
    pair, _, envoy = split
    before = pair.prefill.metric("vllm:request_success_total") or 0
    answer = chat(envoy, story("two"))
    assert answer.status == 200, answer.body
    assert str(pair.prefill.port) in answer.headers["x-baton-prefill"]
    assert pair.prefill.metric("vllm:request_success_total") == before + 1


def test_a_short_prompt_stays_on_the_decode_pod(split):
    pair, picker, envoy = split
    before = pair.prefill.metric("vllm:request_success_total") or 0
    alone = picker.metric("llm_d_epp_disagg_decision_total", decision_type="decode-only")
    assert chat(envoy, "hi").status == 200
    assert (pair.prefill.metric("vllm:request_success_total") or 0) == before
    assert picker.metric("llm_d_epp_disagg_decision_total", decision_type="decode-only") == alone + 1


def test_the_next_turn_is_decode_only(split):
    _, picker, envoy = split
    text = story("three")
    first = chat(envoy, text)
    turns = [{"role": "user", "content": text}, first.json()["choices"][0]["message"], {"role": "user", "content": "go on"}]
    alone = picker.metric("llm_d_epp_disagg_decision_total", decision_type="decode-only")
    second = call(envoy.port, "POST", "/v1/chat/completions",
                  {"model": "storyteller", "messages": [{"role": t["role"], "content": t["content"]} for t in turns], "max_tokens": 8})
    assert second.status == 200, second.body
    assert picker.metric("llm_d_epp_disagg_decision_total", decision_type="decode-only") == alone + 1


def test_a_stream_through_prefill_and_decode_ends_with_usage(split):
    _, picker, envoy = split
    connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=60)
    body = {"model": "storyteller", "messages": [{"role": "user", "content": story("four")}], "max_tokens": 12, "stream": True,
            "stream_options": {"include_usage": True}}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    events = [line[6:] for line in answer.read().decode().splitlines() if line.startswith("data: ")]
    assert answer.status == 200
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["usage"]["completion_tokens"] > 0
    assert picker.metric("llm_d_epp_request_streaming_itl_seconds_count", model_name="storyteller") >= 1
