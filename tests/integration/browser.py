"""A headless Chromium, driven over a pipe as its developer tools are."""
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from stack import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9}


class Browser:
    """One page. What goes wrong in it (exceptions, refused resources) is in `troubles`."""

    def __init__(self, url, scheme="light"):
        self.profile = tempfile.TemporaryDirectory(prefix="baton-browser-", ignore_cleanup_errors=True)
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def as_three_and_four():
            # Above the two first: one of them may be 3 or 4 already.
            read, write = os.dup2(to_browser, 64), os.dup2(from_browser, 65)
            os.dup2(read, 3)
            os.dup2(write, 4)

        # The page is our own: the sandbox, which root may not have, protects nobody here.
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--window-size=1300,1000", "--remote-debugging-pipe",
             f"--user-data-dir={self.profile.name}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=as_three_and_four)
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._id, self.session, self.troubles, self.resources = b"", 0, None, [], []
        target = wait_until(lambda: next((t["targetId"] for t in self.call("Target.getTargets")["targetInfos"]
                                          if t["type"] == "page"), None), "a page in the browser")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.prefer(scheme)
        self.call("Page.navigate", url=url)
        self.sees("location.protocol !== 'about:' && document.readyState === 'complete'")

    def _next(self, deadline):
        while b"\0" not in self._buffer:
            assert self.process.poll() is None, "the browser ended"
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._in], [], [], left)[0], "the browser does not answer"
            more = os.read(self._in, 1 << 20)
            assert more, "the browser closed its pipe"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, seconds=60, **params):
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._id:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.troubles.append(params["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.troubles.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.resources.append(params["request"]["url"])

    def js(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def sees(self, expression, seconds=20):
        try:
            return wait_until(lambda: self.js(f"!!({expression})"), expression, seconds)
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self.js('document.body?.innerText')}\n{self.troubles}") from None

    def prefer(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key):
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], **({"text": "\r"} if key == "Enter" else {})}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def tab_to(self, selector, most=60):
        """Moves the focus with the Tab key, as who has no mouse."""
        for _ in range(most):
            if self.js(f"document.activeElement?.matches({json.dumps(selector)})"):
                return
            self.press("Tab")
        raise AssertionError(f"{selector} is not reached with Tab")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._in)
        os.close(self._out)
        self.profile.cleanup()
