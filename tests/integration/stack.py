"""Starts `baton serve` and looks at it from outside, as an operator would: its ready line, its
status file, its processes, its metrics."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATON = os.environ["BATON"]
# Built with sanitizers, which reserve terabytes of address space and keep freed memory for a while.
SANITIZED = "ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ
MODELS = ROOT / "models"


def wait_until(condition, what, seconds=20.0, step=0.02):
    """The first true value of `condition()`; fails naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(step)


def get(url, timeout=10, tls=None):
    with urllib.request.urlopen(url, timeout=timeout, context=tls) as answer:
        return answer.read().decode()


def post(url, body, headers=None, timeout=60, tls=None):
    """(status, headers, text) of a POST; errors of HTTP are answers, not exceptions. `tls`: what an https URL is verified with."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=tls) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read().decode()


def metric(text, name, **labels):
    """The sum of the samples of `name` whose labels include `labels`; None when there is none."""
    total = None
    for line in text.splitlines():
        match = re.match(r"([\w:]+)(?:\{(.*)\})? (\S+)", line)
        if not match or match.group(1) != name:
            continue
        if all(f'{k}="{v}"' in (match.group(2) or "") for k, v in labels.items()):
            total = (total or 0) + float(match.group(3))
    return total


class Stack:
    """One running `baton serve`; `claims`: what lies in volumes of claims, {claim/path: the folder to copy}; `stdin`: a file."""

    def __init__(self, *arguments, files=(ROOT / "examples/quickstart.yaml",), seconds=30, env=None, claims=None, stdin=os.devnull):
        self.state = tempfile.TemporaryDirectory(prefix="baton-test-")
        for claim, folder in (claims or {}).items():
            shutil.copytree(folder, pathlib.Path(self.state.name) / "pvc" / claim)
        command = [BATON, "serve", "--port", "0", "--state-dir", self.state.name]
        for file in files:
            command += ["-f", str(file)]
        with open(stdin) as given:
            self.process = subprocess.Popen(
                command + list(arguments), stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={**os.environ, "BATON_MODELS_DIR": str(MODELS), "HF_HUB_OFFLINE": "1", **(env or {})})
        self.stderr = []
        self.stdout = []
        self._readers = [threading.Thread(target=self._collect, args=(pipe, lines), daemon=True)
                         for pipe, lines in ((self.process.stderr, self.stderr), (self.process.stdout, self.stdout))]
        for reader in self._readers:
            reader.start()
        try:
            self.url = wait_until(self._ready, "the ready line", seconds)
        except AssertionError:
            self.stop()
            raise AssertionError("not ready; standard error:\n" + "".join(self.stderr[-40:]))

    @staticmethod
    def _collect(pipe, lines):
        for line in pipe:
            lines.append(line)

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"serve exited {self.process.returncode}:\n" + "".join(self.stderr))
        for line in self.stdout:
            match = re.match(r"ready (https?://\S+)$", line)
            if match:
                return match.group(1)
        return None

    @property
    def base(self):
        return self.url.removesuffix("/v1")

    def status(self):
        """The status file that serve keeps: pods with name, role, address, state, restarts, containers."""
        try:
            return json.loads((pathlib.Path(self.state.name) / "status.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {"pods": []}

    def pods(self, role=None):
        return [p for p in self.status()["pods"] if role is None or p["role"] == role]

    def ready_pods(self, role):
        return [p for p in self.pods(role) if p["state"] == "Ready"]

    def pid(self, pod, container="main"):
        return next(c["pid"] for c in pod["containers"] if c["name"] == container)

    def engine_metrics(self, pod):
        port = 8001 if pod["role"] == "decode" else 8000
        return get(f"http://{pod['address']}:{port}/metrics")

    def chat(self, messages, headers=None, timeout=60, **members):
        body = {"model": "storyteller", "messages": messages, "temperature": 0, "max_tokens": 32, **members}
        return post(f"{self.url}/chat/completions", body, headers, timeout)

    def interrupt(self):
        """Ctrl-C; the seconds it took to stop, and the exit code."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)
        return time.monotonic() - start, self.process.returncode

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=20)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        for reader in self._readers:
            reader.join(timeout=5)
        self.state.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


SYSTEM = (MODELS / "storyteller/demo-system-prompt.txt").read_text().strip()
FIRST_TURN = [{"role": "system", "content": SYSTEM},
              {"role": "user", "content": "Write a story about a robot"}]
