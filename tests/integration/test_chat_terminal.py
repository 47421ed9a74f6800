"""`baton chat` as a person has it: at a terminal, with keys."""
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios

import pytest

from stack import BATON, Stack, get, metric, wait_until


class Terminal:
    """A command at a terminal of its own; `screen` is what it wrote, without escape sequences."""

    def __init__(self, *words, env=None):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([BATON, *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                        env={**os.environ, "TERM": "xterm", **(env or {})})
        self.slave = slave
        self.raw = b""

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                more = os.read(self.master, 65536)
            except OSError:
                return
            if not more:
                return
            self.raw += more

    @property
    def screen(self):
        self.read()
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw.decode(errors="replace"))

    def type(self, keys):
        os.write(self.master, keys.encode())

    def sees(self, text, after=0, seconds=20):
        wait_until(lambda: text in self.screen[after:], f"'{text}' in\n{self.screen[after:]}", seconds)
        return len(self.screen)

    def ends(self, seconds=20):
        wait_until(lambda: self.read() or self.process.poll() is not None, "the end of the command", seconds)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        wait_until(lambda: len(running.ready_pods("prefill")) == 1 and len(running.ready_pods("decode")) == 2, "all pods")
        yield running


@pytest.fixture
def chat(stack, tmp_path):
    with Terminal("chat", "--url", stack.url, "--max-tokens", "24",
                  env={"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}) as terminal:
        terminal.sees("> ")
        yield terminal


def answered(chat, after):
    """Waits for an answer and the prompt behind it."""
    wait_until(lambda: re.search(r"\n\S.{10,}\s+> $", chat.screen[after:], re.S), f"an answer in\n{chat.screen[after:]}")
    return len(chat.screen)


def test_a_line_is_edited_answered_and_found_again_with_the_arrow_key(chat, tmp_path):
    chat.type("Write a story about a fix\x7f\x7fox\r")
    end = answered(chat, 0)
    assert "fox" in (tmp_path / "baton/chat_history").read_text()
    chat.type("\x1b[A")
    chat.sees("Write a story about a fox", end)
    chat.type("\r")
    answered(chat, end)


def test_ctrl_d_leaves_and_the_terminal_is_as_before(chat):
    chat.type("\x04")
    assert chat.ends() == 0
    usual = termios.ECHO | termios.ICANON | termios.ISIG
    assert termios.tcgetattr(chat.slave)[3] & usual == usual


def test_ctrl_c_at_the_prompt_begins_a_new_line(chat):
    end = len(chat.screen)
    chat.type("half a thought\x03")
    end = chat.sees("> ", end)
    chat.type("Write a story\r")
    answered(chat, end)
    assert chat.process.poll() is None


def quiet(stack):
    texts = [stack.engine_metrics(pod) for pod in stack.pods()]
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "baton_kv_blocks_pinned", "baton_kv_blocks_leased")
    return all(not metric(text, name) for text in texts for name in names)


def in_flight(stack):
    return metric(get(f"{stack.base}/metrics"), "baton_gateway_requests_in_flight")


def leased(stack):
    return sum(metric(stack.engine_metrics(pod), "baton_kv_blocks_leased") or 0 for pod in stack.pods("prefill"))


# A leg is held where it is by stopping its engines: the key comes in time, however fast they are.
@pytest.mark.parametrize("role, has_begun", [("prefill", in_flight), ("decode", leased)])
def test_ctrl_c_stops_an_answer_and_cancels_both_legs(stack, tmp_path, role, has_begun):
    prompt = f"Write a story about a bear and a {role} " + "and a little boat on the big blue lake " * 8
    with Terminal("chat", "--url", stack.url, env={"XDG_STATE_HOME": str(tmp_path)}) as chat:
        end = chat.sees("> ")
        held = [stack.pid(pod) for pod in stack.pods(role)]
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        try:
            chat.type(prompt + "\r")
            wait_until(lambda: has_begun(stack), f"the {role} leg")
            chat.type("\x03")
            chat.sees("[stopped]", end)
            wait_until(lambda: in_flight(stack) == 0, "the gateway to let go of the request")
        finally:
            for pid in held:
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: quiet(stack), "every engine at rest: nothing runs, waits, is pinned or leased")
        end = len(chat.screen)
        chat.type("Write a story\r")
        answered(chat, end)
