"""Sixty-four clients at once, streams and whole answers mixed, many of them leaving in the middle."""
import concurrent.futures
import http.client
import json
import pathlib
import random
import urllib.parse

import pytest

from stack import SANITIZED, Stack, metric, wait_until

CLIENTS = 64
REQUESTS = 400


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        yield running


def memory(pid):
    """KiB resident."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def processes(stack):
    return [stack.process.pid] + [c["pid"] for pod in stack.pods() for c in pod["containers"] if c["pid"]]


def visit(stack, number):
    """One client: 'left', or 'served' after a whole and right answer."""
    dice = random.Random(number)
    where = urllib.parse.urlparse(stack.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    stream = dice.random() < 0.6
    body = {"model": "storyteller", "stream": stream, "max_tokens": dice.choice([1, 8, 40, 120]), "ignore_eos": True,
            "temperature": dice.choice([0, 1]), "messages": [
                {"role": "user", "content": f"{dice.choice('abc')} {number % 7} " + "and then " * dice.randrange(150)}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    if dice.random() < 0.15:
        connection.close()
        return "left"
    answer = connection.getresponse()
    if dice.random() < 0.25:
        answer.read1(dice.choice([1, 100, 1000]))
        connection.close()
        return "left"
    text = answer.read().decode()
    assert answer.status == 200, text
    if stream:
        events = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        assert not any("error" in json.loads(event) for event in events[:-1])
    else:
        assert json.loads(text)["usage"]["completion_tokens"] == body["max_tokens"]
    connection.close()
    return "served"


def test_a_crowd_is_served_and_leaves_nothing_behind(stack):
    def crowd(first):
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(lambda number: visit(stack, number), range(first, first + REQUESTS)))

    assert crowd(0).count("served") > REQUESTS / 2
    before = {pid: memory(pid) for pid in processes(stack)}
    assert crowd(REQUESTS).count("served") > REQUESTS / 2

    def at_rest():
        texts = [stack.engine_metrics(pod) for pod in stack.pods()]
        return not any(metric(text, name) for text in texts for name in (
            "baton_kv_blocks_pinned", "baton_kv_blocks_leased", "vllm:num_requests_running",
            "vllm:num_requests_waiting"))

    # 45: a lease whose params a client's machine had taken in when it left ends after 30 s.
    wait_until(at_rest, "every engine at rest", 45)
    engines = {stack.pid(pod) for pod in stack.pods()}  # touch more of their KV memory as they fill it
    for pid in processes(stack):
        assert SANITIZED or memory(pid) - before[pid] < (64 if pid in engines else 16) * 1024
    assert all(pod["restarts"] == 0 for pod in stack.pods())
