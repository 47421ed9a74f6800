"""What a pair of engines says through Baton's gateway and sidecar is what one engine says, and it moves its KV; clients that
leave and engines that die cost no other request. The same for vLLM and for our engine."""
import contextlib
import http.client
import json
import os
import signal
import socket
import time
import urllib.parse

import pytest

import middleman as moment
from conftest import LEASE, PATIENCE, events, tokens
from fault_field import Later
from processes import Program
from stack import post, wait_until

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


def test_a_transfer_is_proved_by_the_growth_of_a_counter(pair):
    with Program("sidecar", "--model-server-port", "8001", "--decoder-host", pair.decode["address"], "--secure-proxy=false",
                 "--prove-transfers") as sidecar:
        status, headers, text = post(f"{sidecar.url}/completions", pair.body(pair.prompt(100)),
                                     {"x-prefiller-host-port": f"{pair.prefill['address']}:8000"}, timeout=PATIENCE)
    assert status == 200, text
    assert headers["x-baton-remote-tokens"] in ("99", "100"), headers


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


def test_params_older_than_their_lease_reach_no_engine(pair, detour):
    """The prefill's answer is held up until its lease is over and its blocks hold other KV: such params once gave wrong tokens."""
    body = pair.body(pair.prompt(100), logprobs=1)
    right = tokens(pair.alone(body))
    moved, ended, repeated = pair.pulled(), pair.expired(), detour.metric("prefills_repeated_total", reason="lease")

    def hold(_):
        wait_until(lambda: pair.alone(pair.body(pair.prompt(100))) and pair.expired() > ended, "the lease to end", LEASE + 60, step=0.5)
        for _ in range(3):
            pair.alone(pair.body(pair.prompt(100)))
        return True
    detour.prefill_hop.arm(moment.BEGUN, hold)
    status, headers, text = detour.ask(body)

    assert detour.prefill_hop.done.is_set()
    assert status == 200, text
    assert tokens(text) == right
    assert detour.metric("prefills_repeated_total", reason="lease") == repeated + 1
    assert not headers["x-baton-prefill"].startswith("none")
    assert pair.pulled() >= moved + 64
    pair.works()


class Client:
    """One that leaves."""

    def __init__(self, url, body, headers=None):
        at = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(at.hostname, at.port, timeout=PATIENCE)
        self.connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json", **(headers or {})})

    def leave(self):
        self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def test_a_client_that_leaves_at_once_ends_its_request_on_both_engines(pair):
    Client(pair.stack.url, pair.body(pair.prompt(700), tokens=1200, stream=True)).leave()
    pair.at_rest()
    pair.works()


@pytest.mark.parametrize("hop, at", [("prefill", moment.ASKED), ("decode", moment.BODY), ("decode", moment.BEGUN),
                                     ("decode", moment.MIDDLE)],
                         ids=["prefill", "between-legs", "first-token", "mid-stream"])
def test_a_client_that_leaves_at(pair, detour, hop, at):
    gone = detour.metric("requests_total", outcome="client_gone")
    hop = getattr(detour, f"{hop}_hop")
    hop.arm(at, lambda _: False, amount=3000)  # what comes then is kept: the sidecar still waits when the client goes
    client = Client(detour.sidecar.url, pair.body(pair.prompt(300), tokens=400, stream=True), detour.headers)
    assert hop.done.wait(PATIENCE)
    client.leave()
    wait_until(lambda: detour.metric("requests_total", outcome="client_gone") == gone + 1, "the sidecar to notice", 20)
    pair.at_rest()
    pair.works()


@contextlib.contextmanager
def prefill_stopped_at_the_transfer(pair, detour):
    """Its processes stop when the decode engine is asked to pull; yields what continues them."""
    stopped = processes(pair.prefill)

    def stop(_):
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        return True

    def go_on():
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    detour.decode_hop.arm(moment.BODY, stop)
    try:
        yield stopped
    finally:
        go_on()


def pulls(pair):
    """The decode engine has the request, and no token of it: without the prefill engine it cannot have."""
    return pair.metric(pair.decode, "vllm:num_requests_waiting") + pair.metric(pair.decode, "vllm:num_requests_running") > 0


def test_a_client_that_leaves_at_the_transfer(pair, detour):
    gone = detour.metric("requests_total", outcome="client_gone")
    with prefill_stopped_at_the_transfer(pair, detour):
        client = Client(detour.sidecar.url, pair.body(pair.prompt(300), tokens=400, stream=True), detour.headers)
        wait_until(lambda: pulls(pair), "the decode engine to pull", PATIENCE)
        client.leave()
        wait_until(lambda: detour.metric("requests_total", outcome="client_gone") == gone + 1, "the sidecar to notice", 20)
    pair.at_rest()
    pair.works()


def test_nothing_stays_pinned(pair):
    """What those who left had prefilled, and nobody pulled."""
    wait_until(lambda: pair.pinned() == 0, "no block in use on either engine", LEASE + 60, step=0.5)


@pytest.mark.last
def test_a_prefill_pod_that_is_killed_in_the_middle_of_a_transfer_costs_no_request(pair, detour):
    body = pair.body(pair.prompt(700), logprobs=1)
    right, moved = tokens(pair.alone(body)), pair.pulled()
    with prefill_stopped_at_the_transfer(pair, detour) as prefill:
        asked = Later(lambda: detour.ask(body))
        wait_until(lambda: pulls(pair), "the decode engine to pull", PATIENCE)
        for pid in prefill:
            os.kill(pid, signal.SIGKILL)
        status, headers, text = asked.result(PATIENCE)

    assert status == 200, text
    assert tokens(text) == right
    assert pair.pulled() == moved  # it was in the middle
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
