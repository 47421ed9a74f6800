"""A TCP hop between two real programs that does harm at a chosen moment.

    client ── Middleman ── server

`arm(moment, harm)` waits for the moment on the connections that pass, does the harm once, and sets `done`.
"""
import contextlib
import re
import socket
import struct
import threading

# Moments.
CONNECT = "connect"    # a connection comes, nothing has passed
BODY = "body"          # the first bytes of a request come, which are not passed on
ASKED = "asked"        # the request has passed, the answer's first bytes come and are not passed on
ANSWERED = "answered"  # an answer has passed as a whole (one of a known length)
BEGUN = "begun"        # an answer's head and first bytes have passed
MIDDLE = "middle"      # `amount` bytes of an answer have passed
END = "end"            # `mark`, the answer's last part, comes and is not passed on


def is_whole(answer):
    """Whether this is all of an answer whose head gives its length."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(length) and len(body) == int(length[1])


class Link:
    """One connection: `near` is the client's side, `far` the server's."""

    def __init__(self, near, far):
        self.near, self.far = near, far
        self.answer = b""   # of the request under way, as it was passed on
        self.slow = False
        self.harmed = False

    def reset(self):
        for side in (self.near, self.far):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                side.shutdown(socket.SHUT_RD)  # a thread that waits for bytes would keep the connection
            side.close()

    def half_close(self):
        """The client reads the end; its own direction stays open."""
        with contextlib.suppress(OSError):
            self.near.shutdown(socket.SHUT_WR)

    def say(self, data):
        with contextlib.suppress(OSError):
            self.near.sendall(data)


class Middleman:
    def __init__(self, port, upstream, piece=65536, host="127.0.0.1"):
        self.port, self.upstream = port, upstream  # where it listens; the server's port
        self.host = host                           # of the server
        self.piece = piece                         # as much of an answer is passed on at once
        self.edit = lambda answer: answer
        self.done = threading.Event()
        self._moment = self._harm = None
        self.amount, self.mark = 0, b""
        self._stopping = threading.Event()
        self._links = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, moment, harm, amount=0, mark=b""):
        """`harm(link)` at the moment; it returns whether the bytes at hand are passed on."""
        self.hang_up()  # kept connections: what comes next comes from the start
        self.done.clear()
        self.amount, self.mark = amount, mark
        self._moment, self._harm = moment, harm

    def disarm(self):
        self._moment = None

    def hang_up(self):
        with self._lock:
            for link in self._links:
                link.reset()
            self._links.clear()

    def close(self):
        self._stopping.set()
        self._listener.close()
        self.hang_up()

    def _due(self, link, moment):
        """Does the harm when it is due; whether the bytes at hand pass."""
        with self._lock:
            if self._moment != moment:
                return True
            self._moment = None
        link.harmed = True
        passes = self._harm(link) is True
        self.done.set()
        return passes

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        far = socket.socket()
        link = Link(near, far)
        with self._lock:
            self._links.append(link)
        if not self._due(link, CONNECT):
            return
        try:
            far.connect((self.host, self.upstream))
        except OSError:
            return link.reset()
        threading.Thread(target=self._requests, args=(link,), daemon=True).start()
        self._answers(link)

    def _requests(self, link):
        with contextlib.suppress(OSError):
            while data := link.near.recv(65536):
                if not self._due(link, BODY):
                    return
                link.answer = b""
                link.far.sendall(data)
            if not link.harmed:
                return link.far.shutdown(socket.SHUT_WR)
        link.reset()

    def _answers(self, link):
        with contextlib.suppress(OSError):
            while data := link.far.recv(self.piece):
                if not link.answer and not self._due(link, ASKED):
                    return
                if self.mark and self.mark in link.answer[-len(self.mark):] + data and not self._due(link, END):
                    return
                self._pass_on(link, self.edit(data))
                if not self._moments_after(link):
                    return
            link.near.shutdown(socket.SHUT_WR)
            return
        link.reset()

    def _pass_on(self, link, data):
        pieces = [data[i:i + 1] for i in range(len(data))] if link.slow else [data]
        for piece in pieces:
            link.near.sendall(piece)
            if link.slow:
                self._stopping.wait(0.1)
        link.answer += data

    def _moments_after(self, link):
        if link.answer.partition(b"\r\n\r\n")[2] and not self._due(link, BEGUN):
            return False
        if len(link.answer) > self.amount > 0 and not self._due(link, MIDDLE):
            return False
        return not is_whole(link.answer) or self._due(link, ANSWERED)
