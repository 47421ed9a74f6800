"""docs/errors.md, row by row, where no other test shows it: cause -> status and type."""
import collections
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import pathlib
import resource
import signal
import socket

import pytest

from processes import CONNECTOR, Pair, Program, engine, free_port
from stack import ROOT, post, wait_until
from test_transfer_params import INVENTED

PROMPT = list(range(100, 200))


def complete(url, headers=None, timeout=20, **members):
    status, head, text = post(f"{url}/completions", {"model": "storyteller", "prompt": PROMPT, "max_tokens": 4,
                                                     "temperature": 0, **members}, headers, timeout)
    return status, head, json.loads(text) if text.startswith("{") else text


def error_of(answer):
    error = answer["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["code"], error["type"]


def test_a_prefill_address_that_is_not_on_the_allowlist_gets_a_403(tmp_path):
    (tmp_path / "allowed").write_text("127.0.0.1:1\n")
    with Pair(sidecar_flags=("--allowlist-file", str(tmp_path / "allowed"))) as pair:
        status, _, answer = complete(pair.url, pair.headers)
        assert status == 403 and isinstance(answer, str)
        (tmp_path / "allowed").write_text(f"127.0.0.1:{pair.prefill.port}\n")
        wait_until(lambda: complete(pair.url, pair.headers)[0] == 200, "the address that was added")


def test_kv_that_cannot_be_loaded_under_policy_fail_gets_a_500():
    strict = json.loads(CONNECTOR[1]) | {"kv_load_failure_policy": "fail"}
    with engine("--kv-transfer-config", json.dumps(strict), kv=True) as decode:
        status, _, answer = complete(decode.url, kv_transfer_params={**INVENTED, "remote_port": free_port()})
        assert status == 500 and error_of(answer) == (500, "InternalServerError")
        assert complete(decode.url)[0] == 200


@pytest.mark.parametrize("policy", ["relay", "strict"])
def test_a_failed_prefill_leg_is_answered_as_the_prefill_engine_did_or_with_502(policy):
    with Pair(("--max-model-len", "64"), sidecar_flags=("--prefill-failure-policy", policy)) as pair:
        status, headers, answer = complete(pair.url, pair.headers)
        assert status == 400 and "64" in answer["error"]["message"]
        assert headers["x-baton-error-hop"] == "prefill"

        status, headers, answer = complete(pair.url, {"x-prefiller-host-port": f"127.0.0.1:{free_port()}"})
        assert status == 502 and error_of(answer)[0] == 502
        assert headers["x-baton-error-hop"] == "prefill"

        assert complete(pair.url)[0] == 200


def test_a_failed_prefill_leg_under_policy_fallback_is_computed_by_decode():
    with Pair(sidecar_flags=("--prefill-failure-policy", "fallback")) as pair:
        assert complete(pair.url, {"x-prefiller-host-port": f"127.0.0.1:{free_port()}"})[0] == 200


def test_a_decode_engine_that_breaks_the_connection_gets_a_502():
    with Pair() as pair, concurrent.futures.ThreadPoolExecutor(1) as pool:
        pair.decode.process.send_signal(signal.SIGSTOP)
        pending = pool.submit(complete, pair.url)
        wait_until(lambda: connections_to(pair.decode.port), "the request to reach the engine")
        pair.decode.process.kill()

        status, headers, answer = pending.result()

        assert status == 502 and error_of(answer) == (502, "BadGatewayError")
        assert headers["x-baton-error-hop"] == "decode"


def connections_to(port):
    """Established connections to it, on either side."""
    wanted = f"0100007F:{port:04X}"
    rows = (line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])
    return [row for row in rows if row[2] == wanted and row[3] == "01"]


def gateway_before(tmp_path, port):
    """A gateway with one decode pod."""
    (tmp_path / "pods.yaml").write_text(
        f"services:\n- name: s\n  models: [storyteller]\n  endpoints:\n"
        f"  - {{name: d0, address: '127.0.0.1:{port}', role: decode}}\n")
    return Program("gateway", "--endpoints", str(tmp_path / "pods.yaml"))


def test_no_ready_pod_gets_a_503_that_says_when_to_come_again(tmp_path):
    with gateway_before(tmp_path, free_port()) as gateway:
        status, headers, answer = complete(gateway.url)
        assert status == 503 and error_of(answer) == (503, "ServiceUnavailableError")
        assert int(headers["retry-after"]) > 0


def test_a_deadline_that_passes_gets_a_504():
    with Pair(sidecar_flags=("--request-timeout", "300ms")) as pair:
        pair.decode.process.send_signal(signal.SIGSTOP)
        try:
            status, headers, answer = complete(pair.url, pair.headers)
        finally:
            pair.decode.process.send_signal(signal.SIGCONT)
        assert status == 504 and error_of(answer) == (504, "GatewayTimeoutError")
        assert headers["x-baton-error-hop"]
        wait_until(pair.prefill.at_rest, "the prefill engine at rest", 10)


def test_a_wrong_path_or_method_gets_a_404_or_405(tmp_path):
    with gateway_before(tmp_path, free_port()) as gateway, engine() as alone:
        for program, shape in ((gateway, "error"), (alone, "detail")):
            for method, path, expected in (("GET", "/v1/nothing", 404), ("GET", "/v1/completions", 405),
                                           ("POST", "/v1/models", 405), ("DELETE", "/v1/models", 405)):
                connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=10)
                connection.request(method, path, b"{}" if method == "POST" else None)
                answer = connection.getresponse()
                assert answer.status == expected, (method, path)
                assert shape in json.loads(answer.read())
                connection.close()


def test_a_compressed_body_gets_a_415_that_names_the_encoding(tmp_path):
    body = gzip.compress(json.dumps({"model": "storyteller", "prompt": PROMPT, "max_tokens": 1}).encode())
    with Pair() as pair, gateway_before(tmp_path, pair.decode.port) as gateway:
        for url in (gateway.url, pair.url, pair.decode.url):
            status, _, text = post(f"{url}/completions", body, {"Content-Encoding": "gzip"})
            assert status == 415 and error_of(json.loads(text)) == (415, "UnsupportedMediaTypeError")
            assert "gzip" in text and "uncompressed" in text
            assert complete(url)[0] == 200


def test_a_deadline_that_passes_in_a_stream_breaks_it_visibly():
    with Pair(sidecar_flags=("--request-timeout", "500ms")) as pair:
        connection = http.client.HTTPConnection("127.0.0.1", pair.sidecar.port, timeout=20)
        connection.request("POST", "/v1/completions", json.dumps({
            "model": "storyteller", "prompt": PROMPT, "max_tokens": 3900, "ignore_eos": True, "stream": True}),
            {"Content-Type": "application/json", **pair.headers})
        answer = connection.getresponse()
        answer.read1(100)
        pair.decode.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(http.client.IncompleteRead):
                answer.read()
        finally:
            pair.decode.process.send_signal(signal.SIGCONT)
        wait_until(pair.decode.at_rest, "the decode engine at rest", 10)


def test_too_many_waiting_requests_get_a_429_and_the_others_their_answer():
    """One runs, 1,024 wait: of 1,100 some are one too many."""
    def request(max_tokens):
        body = json.dumps({"model": "storyteller", "prompt": [100], "max_tokens": max_tokens, "stream": max_tokens > 1,
                           "ignore_eos": True}).encode()
        return (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with engine("--max-num-seqs", "1") as busy, contextlib.ExitStack() as connections:
            sockets = [connections.enter_context(socket.create_connection(("127.0.0.1", busy.port), timeout=30))
                       for _ in range(1100)]
            sockets[0].sendall(request(3900))  # long enough for the others to queue up behind it
            sockets[0].recv(100)
            busy.process.send_signal(signal.SIGSTOP)
            for s in sockets[1:]:
                s.sendall(request(1))
            busy.process.send_signal(signal.SIGCONT)
            answers = [b"".join(iter(lambda: s.recv(65536), b"")) for s in sockets[1:]]
            statuses = collections.Counter(answer.split(b" ", 2)[1] for answer in answers)
            assert set(statuses) == {b"200", b"429"} and statuses[b"200"] >= 1024
            refused = next(a for a in answers if a.startswith(b"HTTP/1.1 429")).split(b"\r\n\r\n", 1)[1]
            assert error_of(json.loads(refused)) == (429, "RateLimitError")
            assert complete(busy.url)[0] == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_every_row_of_the_table_names_a_test_that_exists():
    sources = collections.defaultdict(str)  # folders may have files of one name
    for path in (path for root in ("tests/integration", "src") for path in (ROOT / root).rglob("*")):
        if path.name.startswith("test_") and path.suffix == ".py" or path.name.endswith("_test.cpp"):
            sources[path.name] += path.read_text()
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs/errors.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    for row in (row for row in rows if row[-1].strip() != "shown by"):
        file, name = row[-1].strip().split(" ", 1)
        assert name.strip("`") in sources[file.strip("`")], row
