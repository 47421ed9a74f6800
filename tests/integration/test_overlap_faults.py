"""A prefill engine ends in the middle of a chunk of a prompt whose KV already moves, layer by layer (x-baton-announce-kv): real
processes. What happens then is the policy's, no token is wrong, and nothing stays pinned."""
import contextlib
import json
import os
import random
import signal
import threading

import pytest

import middleman as moment
from fault_field import DEADLINE, GRACE, HANG, Field, ask, harmless_afterwards
from stack import wait_until

CHUNK = 64      # tokens of a step of the prefill engine
PROMPT = 3500   # tokens: when the first KV moves, dozens of steps are still to come
TOKEN = 1024    # bytes of KV of one, in four layers
ANSWER = 40     # tokens


@pytest.fixture(scope="module")
def field():
    made = Field("--max-num-batched-tokens", str(CHUNK))
    made.kv_hop.piece = 4096  # the harm comes that close to its byte
    yield made
    made.close()


def body_of(name):
    prompt = [random.Random(name).randrange(100, 1000) for _ in range(PROMPT)]
    return json.dumps({"model": "storyteller", "prompt": prompt, "max_tokens": ANSWER, "temperature": 0, "ignore_eos": True,
                       "stream": True}).encode()


def kill(field):
    field.kill(field.prefill)


def stop(field):
    os.kill(field.prefill.process.pid, signal.SIGSTOP)


@contextlib.contextmanager
def in_a_chunk(field, harm):
    """Over TCP: when the first chunk and half of the layers of the next have passed."""
    field.kv_hop.arm(moment.MIDDLE, lambda _: harm(field), amount=CHUNK * TOKEN * 3 // 2)
    yield
    assert field.kv_hop.done.wait(5), "no KV moved"


@contextlib.contextmanager
def in_a_chunk_of_shared_memory(field, harm):
    """No hop is between the two: when the engine says that KV went while its prompt was being computed."""
    edit, field.prefill_hop.edit = field.prefill_hop.edit, lambda answer: answer
    done = threading.Event()

    def early():
        return field.prefill.metric("baton_kv_served_early_bytes_total")

    def watch(before):
        wait_until(lambda: early() > before, "KV that moves while its prompt is computed", DEADLINE, step=0.001)
        harm(field)
        done.set()

    watcher = threading.Thread(target=watch, args=(early(),))
    watcher.start()
    try:
        yield
        watcher.join()
        assert done.is_set()
    finally:
        field.prefill_hop.edit = edit


WAYS = {"tcp": in_a_chunk, "shared-memory": in_a_chunk_of_shared_memory}


@contextlib.contextmanager
def one_pull_fails(field):
    """Or is given up, when its request ends first. And leaves no block behind in the decode engine."""
    def failed():
        return sum(field.decode.metric("baton_kv_pulls_total", result=result) for result in ("failed", "given_up"))
    before = failed()
    yield
    wait_until(lambda: failed() == before + 1, "the end of the pull")
    wait_until(lambda: field.decode.metric("vllm:kv_cache_usage_perc") == 0, "a decode engine that holds no block")


def whole(answer, expected):
    assert (answer.kind, answer.text) == ("whole", expected), answer
    return answer.headers


@pytest.mark.parametrize("way", WAYS)
def test_decode_computes_the_prompt_of_a_prefill_that_is_killed(field, way):
    body = body_of(way)
    expected = field.expected_of(body)
    with harmless_afterwards(field), one_pull_fails(field):
        with WAYS[way](field, kill):
            answer = ask(field.sidecar, body, field.headers)

    headers = whole(answer, expected)
    assert headers["x-baton-prefill"] == "none; reason=fallback"  # so its prefill was not over
    assert headers["x-baton-computed-tokens"] == str(PROMPT)


@pytest.mark.parametrize("way", WAYS)
def test_another_engine_takes_over_the_prefill_of_one_that_is_killed(field, way):
    body = body_of(f"another {way}")
    expected = field.expected_of(body)
    other, _ = field.engine()
    with other:
        named = {"x-prefiller-host-port": f"{field.headers['x-prefiller-host-port']},127.0.0.1:{other.port}"}
        with harmless_afterwards(field), one_pull_fails(field):
            with WAYS[way](field, kill):
                answer = ask(field.sidecar, body, named)

        headers = whole(answer, expected)
        assert headers["x-baton-prefill"] == f"127.0.0.1:{other.port}"
        assert headers["x-baton-remote-tokens"] == str(PROMPT - 1)
        wait_until(other.at_rest, "the second prefill engine at rest")


@pytest.mark.parametrize("way", WAYS)
def test_a_prefill_that_is_killed_is_an_error_where_prefill_is_wanted(field, way):
    with field.sidecar_of("strict") as strict:
        with harmless_afterwards(field), one_pull_fails(field):
            with WAYS[way](field, kill):
                answer = ask(strict, body_of(f"strict {way}"), field.headers)

    assert (answer.kind, answer.headers["x-baton-error-hop"]) == (502, "prefill"), answer
    assert answer.error and not answer.text


@pytest.mark.parametrize("way", WAYS)
def test_a_prefill_that_is_stopped_costs_no_more_than_the_deadline(field, way):
    body = body_of(f"stopped {way}")
    expected = field.expected_of(body)
    with harmless_afterwards(field), one_pull_fails(field):
        with WAYS[way](field, stop):
            answer = ask(field.sidecar, body, field.headers, HANG)

    assert answer.seconds < HANG + GRACE
    if answer.kind != 504:
        assert whole(answer, expected)["x-baton-prefill"] == "none; reason=fallback"
