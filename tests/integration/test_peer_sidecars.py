"""Pods that both prefill and decode (role prefill-decode), each an engine behind a sidecar of its own: each prefills for the other."""
import contextlib
import hashlib
import hmac
import itertools
import json
import time

import pytest

from processes import Program, engine
from stack import post, wait_until

KEY = "a key that both sidecars share"
_ids = itertools.count()


def ticket(endpoint, request_id, key=KEY):
    """As a router signs what a sidecar may dial."""
    claims = f"{int(time.time() * 1000) + 30_000}\n{next(_ids):032x}"
    mac = hmac.new(key.encode(), f"baton-ticket-v1\n{claims}\n{request_id}\n{endpoint}\n\n\n".encode(), hashlib.sha256)
    return "v1." + claims.replace("\n", ".") + "." + mac.hexdigest()


class Pod:
    def __init__(self, close, *sidecar_flags):
        self.engine = close.enter_context(engine("--no-enable-prefix-caching", kv=True))
        self.sidecar = close.enter_context(Program(
            "sidecar", "--model-server-port", str(self.engine.port), "--decoder-host", "127.0.0.1", "--secure-proxy=false",
            "--prefill-failure-policy=strict", *sidecar_flags))
        self.at = f"127.0.0.1:{self.sidecar.port}"

    def complete(self, prompt, headers=None, **members):
        status, headers, text = post(f"{self.sidecar.url}/completions", {
            "model": "storyteller", "prompt": prompt, "max_tokens": 6, "temperature": 0, "ignore_eos": True, **members}, headers)
        return status, headers, json.loads(text)


@pytest.fixture(scope="module", params=["signed", "without a key"])
def pods(request, tmp_path_factory):
    flags = ()
    if request.param == "signed":
        file = tmp_path_factory.mktemp("key") / "key"
        file.write_text(KEY)
        flags = ("--routing-ticket-key-file", str(file))
    with contextlib.ExitStack() as close:
        yield [Pod(close, *flags) for _ in range(2)]


def test_each_prefills_for_the_other(pods):
    for n, (here, there) in enumerate([pods, pods[::-1]]):
        prompt = list(range(100 + n, 300 + n))
        _, _, alone = here.complete(prompt)
        request_id = f"r{next(_ids)}"
        status, headers, answer = here.complete(prompt, {
            "x-prefiller-host-port": there.at, "x-request-id": request_id, "x-baton-ticket": ticket(there.at, request_id)})
        assert status == 200, answer
        assert headers["x-baton-prefill"] == there.at
        assert int(headers["x-baton-remote-tokens"]) >= 199
        assert answer["choices"][0]["text"] == alone["choices"][0]["text"]
    for pod in pods:
        wait_until(pod.engine.at_rest, "nothing pinned or leased", 20)


def test_a_client_still_cannot_say_where_kv_comes_from(pods):
    status, _, answer = pods[0].complete([1, 2, 3], kv_transfer_params={
        "do_remote_prefill": True, "remote_host": "127.0.0.1", "remote_port": 1, "remote_engine_id": "e",
        "remote_request_id": "r", "remote_block_ids": [[1]]})
    assert status == 400 and "cannot say where KV comes from" in answer["error"]["message"]
