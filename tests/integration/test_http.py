"""Forms of HTTP that clients and proxies send, against the gateway and an engine alike."""
import http.client
import json
import socket
import urllib.parse

import pytest

from processes import engine
from stack import Stack

BODY = json.dumps({"model": "storyteller", "prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}).encode()
CHUNKS = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i:i + 7]), BODY[i:i + 7]) for i in range(0, len(BODY), 7)) + b"0\r\n\r\n"
HEAD = b"Host: x\r\nContent-Type: application/json\r\n"
SIZED = HEAD + b"Content-Length: %d\r\n" % len(BODY)


@pytest.fixture(scope="module", params=["gateway", "engine"])
def server(request):
    with Stack() if request.param == "gateway" else engine() as running:
        yield urllib.parse.urlparse(running.url)


def exchange(server, sent):
    """What comes back until the server closes."""
    with socket.create_connection((server.hostname, server.port), timeout=10) as s:
        s.sendall(sent)
        return b"".join(iter(lambda: s.recv(65536), b""))


@pytest.mark.parametrize("sent", [
    b"POST /v1/completions HTTP/1.1\r\n" + HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    b"POST /v1/completions HTTP/1.1\r\n" + SIZED + b"Connection: close\r\nAccept-Encoding: gzip, br\r\n\r\n" + BODY,
    b"POST /v1/completions?api-version=1 HTTP/1.1\r\n" + SIZED + b"Connection: close\r\n\r\n" + BODY,
    b"POST http://x/v1/completions HTTP/1.1\r\n" + SIZED + b"Connection: close\r\n\r\n" + BODY,
    b"POST /v1/completions HTTP/1.0\r\n" + SIZED + b"\r\n" + BODY,
])
def test_a_request_in_this_form_is_answered(server, sent):
    head, body = exchange(server, sent).split(b"\r\n\r\n", 1)

    assert head.startswith(b"HTTP/1.1 200"), head
    assert b"content-encoding" not in head.lower()
    assert json.loads(body)["usage"]["completion_tokens"] == 4


def test_a_client_of_http_1_0_gets_its_stream_without_chunks(server):
    body = BODY[:-1] + b', "stream": true}'
    head, stream = exchange(server, b"POST /v1/completions HTTP/1.0\r\n" + HEAD +
                            b"Content-Length: %d\r\n\r\n" % len(body) + body).split(b"\r\n\r\n", 1)

    assert b"chunked" not in head.lower()
    assert stream.startswith(b"data: {") and stream.endswith(b"data: [DONE]\n\n")


def test_a_body_is_asked_for_with_100_continue(server):
    with socket.create_connection((server.hostname, server.port), timeout=10) as s:
        s.sendall(b"POST /v1/completions HTTP/1.1\r\n" + SIZED + b"Connection: close\r\nExpect: 100-continue\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 100 ")
        s.sendall(BODY)
        assert b"".join(iter(lambda: s.recv(65536), b"")).startswith(b"HTTP/1.1 200")


def test_one_connection_serves_many_requests_also_after_an_error(server):
    connection = http.client.HTTPConnection(server.hostname, server.port, timeout=10)
    local = None
    for body, expected in ((BODY, 200), (b"{", 400), (BODY, 200), (b"{}", 400), (BODY, 200)):
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == expected
        local = local or connection.sock.getsockname()
        assert connection.sock.getsockname() == local
    connection.close()


@pytest.mark.parametrize("sent", [
    b"hello there\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\n\r\n",
    b"GET /v1/models HTTP/3.0\r\nHost: x\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\n" + SIZED + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    b"POST /v1/completions HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
])
def test_what_is_not_http_gets_a_400_or_505_and_the_connection_ends(server, sent):
    answer = exchange(server, sent)

    assert answer.split(b" ", 2)[1] in (b"400", b"501", b"505"), answer
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["message"]
