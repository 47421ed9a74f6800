"""Clients that chat without a pause while something changes: every stream must end whole, with the text it always has."""

import http.client
import json
import threading
from urllib.parse import urlsplit

TOKENS = 32


def stream(url: str, model: str, text: str) -> tuple[str, str]:
    """(the text, why it ended) of one streamed chat; anything but a whole answer raises."""
    to = urlsplit(url)
    connection = http.client.HTTPConnection(to.hostname, to.port, timeout=60)
    body = {"model": model, "stream": True, "temperature": 0, "max_tokens": TOKENS, "messages": [{"role": "user", "content": text}]}
    try:
        connection.request("POST", f"{to.path}/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"{answer.status}: {said[:300]}")
    events = [line.removeprefix("data: ") for line in said.splitlines() if line.startswith("data: ")]
    if not events or events[-1] != "[DONE]":
        raise ValueError(f"no end: {said[-300:]}")
    choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices), choices[-1]["finish_reason"]


class Load:
    """`clients` at a time; each chat has another beginning, so that prompts travel from prefill to decode. The same text is asked again
    and again: numbers do not depend on where they are computed, so answers must not either."""

    def __init__(self, url: str, model: str, text: str, clients: int = 2, variants: int = 6):
        self._prompts = [f"{number}. {text}" for number in range(variants)]
        self._expected = {prompt: stream(url, model, prompt) for prompt in self._prompts}
        self.answers, self.failures = 0, []
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url, model, client)) for client in range(clients)]

    def _ask(self, url, model, client):
        at = client
        while not self._ends.is_set():
            prompt = self._prompts[at % len(self._prompts)]
            at += 1
            try:
                got = stream(url, model, prompt)
                if got != self._expected[prompt]:
                    self.failures.append(f"another answer: {got} instead of {self._expected[prompt]}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(repr(error))
            self.answers += 1

    def __enter__(self):
        [thread.start() for thread in self._threads]
        return self

    def __exit__(self, *_):
        self._ends.set()
        [thread.join() for thread in self._threads]
