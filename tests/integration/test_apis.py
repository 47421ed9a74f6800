"""Every API says the same through prefill and decode pods as one engine says alone."""
import json

import pytest

from processes import engine
from stack import FIRST_TURN, Stack, post

GREEDY = {"model": "storyteller", "temperature": 0, "max_tokens": 12, "ignore_eos": True}
SAMPLED = {**GREEDY, "temperature": 0.8, "seed": 11}
SYSTEM, USER = FIRST_TURN[0]["content"], FIRST_TURN[1:]


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        yield running


@pytest.fixture(scope="module")
def alone():
    with engine() as running:
        yield running


def ask(server, path, body):
    status, headers, text = post(server.base + path, body)
    assert status == 200, text
    return headers, json.loads(text)


def events(server, path, body):
    status, _, text = post(server.base + path, {**body, "stream": True})
    assert status == 200, text
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines()
            if line.startswith("data: {")]


def was_split(headers):
    return not headers["x-baton-prefill"].startswith("none")


def chat_text(server):
    return ask(server, "/v1/chat/completions", {**GREEDY, "messages": FIRST_TURN})[1]["choices"][0]["message"]["content"]


def test_messages(stack, alone):
    body = {**GREEDY, "system": SYSTEM, "messages": USER}

    headers, answer = ask(stack, "/v1/messages", body)

    assert was_split(headers)
    assert answer["content"] == [{"type": "text", "text": chat_text(alone)}]
    assert answer["stop_reason"] == "max_tokens" and answer["usage"]["output_tokens"] == 12
    streamed = events(stack, "/v1/messages", body)
    assert "".join(e["delta"].get("text", "") for e in streamed if e["type"] == "content_block_delta") == chat_text(alone)
    assert [streamed[0]["type"], streamed[-1]["type"]] == ["message_start", "message_stop"]


def test_messages_of_a_conversation_go_on_where_their_cache_is(stack):
    body = {**GREEDY, "system": SYSTEM + " At length.", "messages": USER}
    first, answer = ask(stack, "/v1/messages", body)
    turn = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": "Continue"}]

    second, _ = ask(stack, "/v1/messages", {**body, "messages": USER + turn})

    assert second["x-baton-decode"] == first["x-baton-decode"] and not was_split(second)
    assert int(second["x-baton-cached-tokens"]) > 100


def test_responses(stack, alone):
    body = {k: v for k, v in GREEDY.items() if k != "max_tokens"} | {
        "instructions": SYSTEM, "input": USER, "max_output_tokens": 12}

    headers, answer = ask(stack, "/v1/responses", body)

    assert headers["x-baton-decode"]
    assert answer["output"][0]["content"][0]["text"] == chat_text(alone)
    assert answer["status"] == "incomplete" and answer["instructions"] == SYSTEM
    streamed = events(stack, "/v1/responses", body)
    assert "".join(e["delta"] for e in streamed if e["type"] == "response.output_text.delta") == chat_text(alone)
    assert streamed[-1]["response"]["output"][0]["content"] == answer["output"][0]["content"]


def test_generate(stack, alone):
    ids = ask(alone, "/tokenize", {"messages": FIRST_TURN})[1]["tokens"][::-1]  # in no cache
    params = {k: v for k, v in SAMPLED.items() if k != "model"}
    body = {"model": "storyteller", "token_ids": ids, "sampling_params": params}

    headers, answer = ask(stack, "/inference/v1/generate", body)

    assert was_split(headers) and int(headers["x-baton-remote-tokens"]) > 100
    assert answer["choices"] == ask(alone, "/inference/v1/generate", body)[1]["choices"]
    assert len(answer["choices"][0]["token_ids"]) == 12


def test_several_choices_stay_on_one_pod_and_are_those_of_one_engine(stack, alone):
    warm = {**SAMPLED, "temperature": 1.5, "max_tokens": 30, "messages": FIRST_TURN}

    headers, answer = ask(stack, "/v1/chat/completions", {**warm, "n": 3})

    assert headers["x-baton-prefill"] == "none; reason=several-choices"
    texts = [c["message"]["content"] for c in answer["choices"]]
    assert len(set(texts)) == 3
    for i, text in enumerate(texts):
        one = ask(alone, "/v1/chat/completions", {**warm, "seed": 11 + i})[1]
        assert one["choices"][0]["message"]["content"] == text


def test_scores_of_the_prompt_are_those_of_one_engine(stack, alone):
    body = {**GREEDY, "prompt": SYSTEM, "prompt_logprobs": 1}

    headers, answer = ask(stack, "/v1/completions", body)

    assert not was_split(headers)
    scores = answer["choices"][0]["prompt_logprobs"]
    assert scores[0] is None and len(scores) == int(headers["x-baton-prompt-tokens"])
    assert scores == ask(alone, "/v1/completions", body)[1]["choices"][0]["prompt_logprobs"]


@pytest.mark.parametrize("path, body, names", [
    ("/v1/chat/completions", {"messages": USER, "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ("/v1/chat/completions", {"messages": USER, "response_format": {"type": "json_object"}}, "response_format"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image_url"),
    ("/v1/messages", {"messages": USER, "max_tokens": 1, "tools": [{"name": "f"}]}, "tools"),
    ("/v1/responses", {"input": "x", "previous_response_id": "r"}, "previous_response_id"),
    ("/inference/v1/generate", {"token_ids": [5], "features": {"x": 1}}, "features"),
])
def test_what_is_not_served_is_named(stack, path, body, names):
    status, _, text = post(stack.base + path, {"model": "storyteller", **body})
    assert status == 400 and names in json.loads(text)["error"]["message"]
