"""One leg dies, hangs or leaves: no request outlives its deadline, nothing stays pinned, the next works."""
import concurrent.futures
import http.client
import json
import os
import signal
import time
import urllib.parse

import pytest

from stack import SANITIZED, Stack, metric, wait_until


def story(seed, length=120):
    """A prompt no pod has seen, long enough to be prefilled remotely."""
    return [{"role": "user", "content": f"Write a story about a fox and number {seed}. " + f"item {seed} " * length}]


@pytest.fixture
def stack():
    with Stack("--request-timeout", "8") as running:
        wait_until(lambda: all_ready(running), "one prefill and two decode pods in the status file")
        yield running
        at_rest(running)


def at_rest(stack):
    """pinned = leased = 0 and nothing running on every engine that answers."""
    def quiet():
        for pod in stack.pods():
            if pod["state"] != "Ready":
                return False
            text = stack.engine_metrics(pod)
            if metric(text, "baton_kv_blocks_pinned") or metric(text, "baton_kv_blocks_leased"):
                return False
            if metric(text, "vllm:num_requests_running") or metric(text, "vllm:num_requests_waiting"):
                return False
        return True
    wait_until(quiet, "every engine at rest", 45)


def works(stack, seed):
    status, _, text = stack.chat(story(seed))
    assert status == 200, text


def restarted(stack, name):
    return any(p["name"] == name and p["restarts"] > 0 and p["state"] == "Ready" for p in stack.pods())


def all_ready(stack):
    return len(stack.ready_pods("prefill")) == 1 and len(stack.ready_pods("decode")) == 2


def test_a_killed_prefill_engine_is_replaced_and_meanwhile_decode_answers_alone(stack):
    prefill = stack.pods("prefill")[0]
    os.kill(stack.pid(prefill), signal.SIGKILL)

    status, headers, text = stack.chat(story(1))

    assert status == 200, text
    assert headers["x-baton-prefill"].startswith("none")
    wait_until(lambda: all_ready(stack), "the prefill pod to come back")
    wait_until(lambda: stack.chat(story(time.monotonic_ns()))[1]["x-baton-prefill"].startswith("storyteller"),
               "prefill to be used again", step=0.3)


def test_requests_in_flight_survive_a_kill_of_the_prefill_engine(stack):
    prefill = stack.pods("prefill")[0]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(stack.chat, story(100 + i, 300), timeout=90 if SANITIZED else 20) for i in range(8)]
        os.kill(stack.pid(prefill), signal.SIGKILL)

        answers = [p.result() for p in pending]

    assert [status for status, _, _ in answers] == [200] * 8
    wait_until(lambda: all_ready(stack), "the prefill pod to come back")


def test_a_stopped_prefill_engine_costs_no_more_than_the_deadline(stack):
    prefill = stack.pods("prefill")[0]
    os.kill(stack.pid(prefill), signal.SIGSTOP)
    try:
        start = time.monotonic()
        status, headers, text = stack.chat(story(2), timeout=30)
        took = time.monotonic() - start
    finally:
        os.kill(stack.pid(prefill), signal.SIGCONT)

    assert took < 12
    assert status in (200, 504), text
    if status != 200:
        assert headers["x-baton-error-hop"]
    wait_until(lambda: all_ready(stack) and stack.chat(story(3))[0] == 200, "answers again", step=0.2)


def test_a_decode_engine_killed_mid_stream_breaks_the_stream_visibly_and_comes_back(stack):
    where = urllib.parse.urlparse(stack.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
    body = {"model": "storyteller", "messages": story(4), "stream": True, "max_tokens": 3000, "ignore_eos": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read1(200)
    name = answer.headers["x-baton-decode"].split()[0]
    pod = next(p for p in stack.pods("decode") if p["name"] == name)

    os.kill(stack.pid(pod), signal.SIGKILL)

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    works(stack, 5)
    wait_until(lambda: restarted(stack, name), "the decode pod to come back")
    works(stack, 55)


def test_a_stopped_decode_engine_ends_in_a_timeout_that_names_the_hop(stack):
    for pod in stack.pods("decode"):
        os.kill(stack.pid(pod), signal.SIGSTOP)
    try:
        start = time.monotonic()
        status, headers, _ = stack.chat(story(6), timeout=30)
        took = time.monotonic() - start
    finally:
        for pod in stack.pods("decode"):
            os.kill(stack.pid(pod), signal.SIGCONT)

    assert status in (503, 504)
    assert took < 12
    assert headers["x-baton-error-hop"]
    wait_until(lambda: all_ready(stack) and stack.chat(story(7))[0] == 200, "answers again", step=0.2)


@pytest.mark.parametrize("wait_for", ["nothing", "head", "text"])
def test_a_client_that_leaves_at_any_phase_leaves_nothing_behind(stack, wait_for):
    where = urllib.parse.urlparse(stack.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
    body = {"model": "storyteller", "messages": story(8, 300), "stream": True, "max_tokens": 3000, "ignore_eos": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    if wait_for != "nothing":
        answer = connection.getresponse()
        if wait_for == "text":
            answer.read1(300)

    connection.close()

    works(stack, 9)
