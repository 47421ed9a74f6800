"""The sidecar as a proxy, byte by byte: trailers, informational answers, half-closed and aborted connections, on both sides."""
import contextlib
import socket
import threading

import pytest

from processes import Program, free_port


class Engine:
    """Answers each connection's first request with what it was given, byte for byte; keeps what it read."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answer, self.end, self.seen, self.over = b"", b"\r\n\r\n", b"", threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def say(self, answer, end=b"\r\n\r\n"):
        """`end`: how a request ends."""
        self.answer, self.end = answer, end
        self.over.clear()

    def _serve(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                self.seen = b""
                while not self.seen.endswith(self.end) and (data := link.recv(65536)):
                    self.seen += data
                link.sendall(self.answer)
                link.shutdown(socket.SHUT_WR)
                while link.recv(65536):
                    pass
            self.over.set()


@pytest.fixture(scope="module")
def engine():
    made = Engine()
    yield made
    made.listener.close()


@pytest.fixture(scope="module")
def sidecar(engine):
    with Program("sidecar", "--model-server-port", str(engine.port), "--decoder-host", "127.0.0.1", "--secure-proxy=false") as running:
        yield running


def exchange(sidecar, request, close_writing=False):
    """All that comes back."""
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=20) as client:
        client.sendall(request)
        if close_writing:
            client.shutdown(socket.SHUT_WR)
        out = b""
        with contextlib.suppress(ConnectionResetError):
            while data := client.recv(65536):
                out += data
        return out


HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


def test_trailers_end_a_body_and_go_no_further(engine, sidecar):
    engine.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n", end=b"body")
    answer = exchange(sidecar, HEAD + b"Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: x-mine\r\n\r\n4\r\nbody\r\n0\r\nx-mine: 1\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    assert body == b"2\r\nab\r\n0\r\n\r\n"
    assert b"x-mine" not in engine.seen and b"TE:" not in engine.seen and b"Trailer" not in head


def test_informational_answers_are_passed_over(engine, sidecar):
    engine.say(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", end=b"body")
    answer = exchange(sidecar, HEAD + b"Content-Length: 4\r\n\r\nbody")
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\nab"), answer


def test_an_engine_that_half_closes_in_a_stream_breaks_the_clients(engine, sidecar):
    engine.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n9\r\ncd", end=b"body")
    answer = exchange(sidecar, HEAD + b"Content-Length: 4\r\n\r\nbody")
    assert answer.startswith(b"HTTP/1.1 200") and b"ab" in answer
    assert not answer.endswith(b"0\r\n\r\n")


def test_an_engine_that_half_closes_in_a_short_answer_is_a_502(engine, sidecar):
    """An answer of a known length goes out in one piece: nothing of it has gone yet."""
    engine.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", end=b"body")
    answer = exchange(sidecar, HEAD + b"Content-Length: 4\r\n\r\nbody")
    assert answer.startswith(b"HTTP/1.1 502") and b"x-baton-error-hop: decode" in answer, answer


def test_a_client_that_half_closes_has_left(engine, sidecar):
    """As everywhere in net/http: nobody waits for the answer, and the engine is told."""
    engine.say(b"", end=b"never")
    assert exchange(sidecar, HEAD + b"Content-Length: 4\r\n\r\nbody", close_writing=True) == b""
    assert engine.over.wait(20)


def test_an_engine_that_resets_is_replaced_by_a_fresh_connection(engine, sidecar):
    engine.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", end=b"body")
    exchange(sidecar, HEAD + b"Content-Length: 4\r\n\r\nbody")
    engine.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", end=b"body")
    assert exchange(sidecar, HEAD + b"Content-Length: 4\r\n\r\nbody").endswith(b"\r\n\r\nab")
