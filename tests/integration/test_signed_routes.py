"""Only who shares the key routes: in `serve` that is the gateway. A client that reaches a sidecar itself chooses nothing."""
import pytest

from stack import Stack, metric, post

LONG = "a prompt that is longer than the threshold of the picker " * 8


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        yield running


def prompt(text, **members):
    return {"model": "storyteller", "prompt": text + LONG, "max_tokens": 4, "temperature": 0, **members}


def prefills(stack):
    return sum(metric(stack.engine_metrics(pod), "vllm:request_success_total") or 0 for pod in stack.pods("prefill"))


@pytest.mark.parametrize("headers, verdict", [
    ({}, "missing"), ({"x-baton-ticket": "mine"}, "malformed"),
    ({"x-baton-ticket": f"v1.{2**41}.{'0' * 32}.{'0' * 64}", "x-request-id": "r"}, "forged")])
def test_a_client_at_the_sidecar_cannot_name_a_prefiller(stack, headers, verdict):
    sidecar = f"http://{stack.pods('decode')[0]['address']}:8000/v1/completions"
    prefill = f"{stack.pods('prefill')[0]['address']}:8000"
    before = prefills(stack)
    status, _, text = post(sidecar, prompt("direct: "), {"x-prefiller-host-port": prefill, **headers})
    assert status == 403 and f"the routing ticket is {verdict}" in text
    status, _, text = post(sidecar, prompt("direct: "), {"x-encoder-hosts-ports": prefill, **headers})
    assert status == 403 and f"the routing ticket is {verdict}" in text
    assert prefills(stack) == before
    assert post(sidecar, prompt("direct: "))[0] == 200


def test_through_the_gateway_the_route_is_signed(stack):
    before = prefills(stack)
    status, headers, text = post(f"{stack.url}/completions", prompt("gateway: "),
                                 {"x-prefiller-host-port": "127.0.0.1:1", "x-baton-ticket": "mine"})
    assert status == 200, text
    assert stack.pods("prefill")[0]["address"] in headers["x-baton-prefill"]
    assert prefills(stack) == before + 1
