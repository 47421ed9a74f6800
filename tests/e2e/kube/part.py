"""One program of the control plane: started, waited for, stalled, killed, started again; its log told when something goes wrong."""

import os
import random
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

TAIL_LINES = 30
STOP_SECONDS = 15
# What a busy machine may take longer than a quiet one. Waits poll, so that a high ceiling costs nothing where all is well.
PATIENCE = 4


class NotReady(AssertionError):
    """Names the part, what was waited for, and the end of its log."""


def wait_until(condition, what, seconds=30.0, step=0.02):
    """The first true value of `condition()`. `condition` may raise NotReady to give up early."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise NotReady(f"not within {seconds:g} s: {what}")
        time.sleep(step)


# Below the range that outgoing connections take their ports from: what is free here stays free, also over a restart.
_given: set[int] = set()


def free_port() -> int:
    while True:
        port = random.randrange(10_000, 32_000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


def answers(url: str, ca: Path | None = None, wanted: str | None = "ok", token: str | None = None) -> bool:
    """Whether the address answers with 200 (and `wanted`) now. Without `ca` any certificate will do."""
    context = None
    if url.startswith("https:"):
        context = ssl.create_default_context(cafile=str(ca)) if ca else ssl._create_unverified_context()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=2, context=context) as answer:
            return wanted is None or answer.read().decode().strip() == wanted
    except urllib.error.HTTPError:
        return False
    except OSError:
        return False


class Part:
    def __init__(self, name: str, command: list, log: Path, ready, seconds: float = 60.0, environment: dict | None = None):
        self.name, self.command, self.log, self.ready, self.seconds = name, [str(word) for word in command], log, ready, seconds
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen | None = None

    def start(self, wait: bool = True):
        assert not self.is_running(), f"{self.name} runs already"
        with open(self.log, "ab") as log:
            # setpriv: the program ends with this process, however this process ends.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment
            )
        if wait:
            self.wait_ready()

    def wait_ready(self):
        def ready():
            if not self.is_running():
                raise NotReady(f"{self.name} ended with {self.process.returncode} before it was ready\n{self.tail()}")
            return self.ready()

        try:
            wait_until(ready, f"{self.name} ready", self.seconds)
        except NotReady as error:
            raise error if "ended" in str(error) else NotReady(f"{error}\n{self.tail()}") from None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        return self.process.pid

    def pause(self):
        """Stalls it: connections stay open, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()

    def stop(self):
        if not self.is_running():
            return
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = TAIL_LINES) -> str:
        text = self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []
        return "\n".join([f"--- the end of {self.log}", *text])
