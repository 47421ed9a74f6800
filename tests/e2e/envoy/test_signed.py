"""Signed routes behind Envoy: what the picker chose is dialled, what a client says is not, and a request that Envoy tries again
comes with the same ticket."""
import contextlib
import json

import pytest

from gateway import SPLIT, EchoPod, Envoy, Picker, call, endpoint
from processes import Program, engine

LONG = "a prompt that is longer than the threshold " * 8


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """Envoy, the picker and a sidecar that share a key; a prefill engine, and a decode engine that echoes."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text("0123456789abcdef0123456789abcdef")
    flag = f"--routing-ticket-key-file={key}"
    with contextlib.ExitStack() as started:
        prefill = started.enter_context(engine(kv=True))
        decode = started.enter_context(EchoPod())
        sidecar = started.enter_context(Program("sidecar", "--model-server-port", str(decode.port), "--decoder-host", "127.0.0.1",
                                                "--secure-proxy=false", flag))
        pods = [endpoint("decode-0", sidecar.port, "decode"), endpoint("prefill-0", prefill.port, "prefill")]
        picker = started.enter_context(Picker(pods, SPLIT, (flag,)))
        envoy = started.enter_context(Envoy(picker, [sidecar.port], retry_on="5xx,reset"))
        yield prefill, decode, sidecar, envoy


def ask(port, text, headers=None):
    body = {"model": "storyteller", "prompt": text, "max_tokens": 4, "temperature": 0}
    return call(port, "POST", "/v1/completions", body, headers)


def prefills(prefill):
    return prefill.metric("vllm:request_success_total") or 0


def test_the_pickers_route_is_followed(signed):
    prefill, _, _, envoy = signed
    answer = ask(envoy.port, "one: " + LONG)
    assert answer.status == 200, answer.body
    assert answer.headers["x-baton-prefill"] == f"127.0.0.1:{prefill.port}"
    assert "kv_transfer_params" in answer.json()["text"]
    assert not {"x-baton-ticket", "x-prefiller-host-port"} & set(answer.json()["headers"])


@pytest.mark.parametrize("ticket, verdict", [(None, "missing"), ("mine", "malformed"),
                                             (f"v1.{2**41}.{'0' * 32}.{'0' * 64}", "forged")])
def test_a_client_at_the_sidecar_routes_nothing(signed, ticket, verdict):
    prefill, decode, sidecar, _ = signed
    before, decoded = prefills(prefill), decode.requests
    headers = {"x-prefiller-host-port": f"127.0.0.1:{prefill.port}", **({"x-baton-ticket": ticket} if ticket else {})}
    answer = ask(sidecar.port, "two: " + LONG, headers)
    assert answer.status == 403
    assert answer.json()["error"]["message"] == f"x-baton-ticket: the routing ticket is {verdict}"
    assert (prefills(prefill), decode.requests) == (before, decoded)
    assert ask(sidecar.port, "two: " + LONG).status == 200


def test_what_a_client_says_to_envoy_is_replaced(signed):
    prefill, _, _, envoy = signed
    headers = {"x-prefiller-host-port": "127.0.0.1:1", "x-baton-ticket": "mine", "x-encoder-hosts-ports": "127.0.0.1:1"}
    answer = ask(envoy.port, "three: " + LONG, headers)
    assert answer.status == 200, answer.body
    assert answer.headers["x-baton-prefill"] == f"127.0.0.1:{prefill.port}"


def test_a_request_that_envoy_tries_again_is_followed_again(signed):
    prefill, decode, _, envoy = signed
    before, decoded = prefills(prefill), decode.requests
    decode.failing = 2
    answer = ask(envoy.port, "four: " + LONG)
    assert answer.status == 200, answer.body
    assert (prefills(prefill), decode.requests) == (before + 3, decoded + 3)
    assert json.loads(answer.body)["bytes"] > len(LONG)
