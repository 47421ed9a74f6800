"""What a pair of engines says through Baton's gateway and sidecar is what one engine says, and it moves its KV; clients that
leave and engines that die cost no other request. The same for vLLM and for our engine."""
import http.client
import json
import os
import signal
import socket
import time
import urllib.parse

import pytest

from conftest import PATIENCE, events, tokens
from stack import post

LENGTHS = [5, 31, 32, 33, 64, 65, 257, 700]  # around and between blocks of 32 tokens


@pytest.mark.parametrize("length", LENGTHS)
def test_the_pair_says_token_for_token_what_one_engine_says(pair, length):
    body = pair.body(pair.prompt(length), logprobs=1)
    before = pair.pulled()
    headers, text = pair.split(body)
    said = tokens(text)
    assert len(said) == 16
    assert said == tokens(pair.alone(body))
    assert length - 1 <= pair.pulled() - before <= length
    assert json.loads(text)["usage"]["prompt_tokens"] == length
    assert "prefill" in headers["Server-Timing"]


def test_a_stream_says_the_same(pair):
    body = pair.body(pair.prompt(100))
    whole = json.loads(pair.alone(body))["choices"][0]["text"]
    _, text = pair.split({**body, "stream": True, "stream_options": {"include_usage": True}})
    seen = events(text)
    assert "".join(e["choices"][0]["text"] for e in seen if e["choices"]) == whole
    assert seen[-1]["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize("streams", [False, True])
def test_a_chat_says_the_same(pair, streams):
    body = {"model": "storyteller", "temperature": 0, "max_tokens": 12, "ignore_eos": True,
            "messages": [{"role": "user", "content": f"{time.monotonic_ns()}: write a story about a fox and a robot. " * 4}]}
    before = pair.pulled()
    if streams:
        _, text = pair.split({**body, "stream": True}, "chat/completions")
        said = "".join(e["choices"][0]["delta"].get("content") or "" for e in events(text) if e["choices"])
    else:
        said = json.loads(pair.split(body, "chat/completions")[1])["choices"][0]["message"]["content"]
    assert said == json.loads(pair.alone(body, "chat/completions"))["choices"][0]["message"]["content"]
    assert pair.pulled() > before


def test_several_choices_and_several_prompts_are_computed_by_one_engine(pair):
    """Their prefill would answer one set of params only."""
    for body in (pair.body(pair.prompt(70), n=2, temperature=0.5, seed=1), pair.body([pair.prompt(70), pair.prompt(70)])):
        before = pair.pulled()
        status, headers, text = post(f"{pair.stack.url}/completions", body, timeout=PATIENCE)
        assert status == 200 and len(json.loads(text)["choices"]) == 2, text
        assert headers["x-baton-prefill"] == "none; reason=several-choices"
        assert pair.pulled() == before
    pair.works()


@pytest.mark.parametrize("params", [
    {"do_remote_prefill": True, "do_remote_decode": False, "remote_engine_id": None, "remote_block_ids": None,
     "remote_host": None, "remote_port": None},
    {"do_remote_prefill": True, "remote_engine_id": "x", "remote_request_id": "y", "remote_block_ids": [[1]], "remote_port": 1}])
def test_params_that_a_client_invents_reach_no_engine(pair, params):
    """Such have killed a vLLM decode engine, or hung the request."""
    body = pair.body(pair.prompt(40), kv_transfer_params=params)
    pair.split(body)  # the gateway takes them out
    status, _, text = post(f"http://{pair.decode['address']}:8000/v1/completions", body, timeout=PATIENCE)
    assert status == 400 and "kv_transfer_params" in text
    pair.works()


@pytest.mark.parametrize("after", ["sent", "head", "tokens"])
def test_a_client_that_leaves_ends_its_request_on_both_engines(pair, after):
    at = urllib.parse.urlsplit(pair.stack.url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=PATIENCE)
    body = pair.body(pair.prompt(700), tokens=1200, stream=True)
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    if after != "sent":
        answer = connection.getresponse()
        assert answer.status == 200
        if after == "tokens":
            answer.read(500)
        connection.sock = connection.sock or answer.fp.raw._sock
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    pair.at_rest()
    pair.works()


@pytest.mark.last
def test_a_prefill_pod_that_is_killed_costs_no_request(pair):
    for pid in processes(pair.prefill):
        os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        status, headers, text = post(f"{pair.stack.url}/completions", pair.body(pair.prompt(100)), timeout=PATIENCE)
        assert status == 200, text
        assert headers["x-baton-prefill"].startswith("none")


def processes(pod):
    """The pod's main process and all below it."""
    main = next(c["pid"] for c in pod["containers"] if c["name"] == "main")
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # ended since
            children.setdefault(parent, []).append(int(entry))
    out, rest = [], [main]
    while rest:
        out.append(rest.pop())
        rest += children.get(out[-1], [])
    return out
