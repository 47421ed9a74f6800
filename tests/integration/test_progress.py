"""Long steps tell how far they are: a bar on a terminal, none of it in a pipe."""
import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from processes import engine
from stack import BATON, MODELS

BAR = re.compile(r"\[[#.]{20}\] \d+ %")


@contextlib.contextmanager
def terminal_of(arguments, **environment):
    """What a command writes to a terminal, read on; the command ends with the block."""
    master, slave = pty.openpty()
    process = subprocess.Popen([BATON, *arguments], stdin=slave, stdout=slave, stderr=slave,
                               env={**os.environ, "TERM": "xterm", **environment})
    os.close(slave)

    def text(until, seconds=30):
        out, deadline = "", time.monotonic() + seconds
        while not re.search(until, out):
            ready = select.select([master], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"not within {seconds} s: {until}\n{out!r}"
            try:
                out += os.read(master, 65536).decode()
            except OSError:
                assert re.search(until, out), out
        return out

    try:
        yield text
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        os.close(master)


@pytest.mark.parametrize("flags, name", [([], "loading storyteller"), (["--quantization", "int8"], "int8 of storyteller")])
def test_a_model_that_loads_shows_its_share_and_leaves_nothing_of_it(flags, name):
    with terminal_of(["engine", str(MODELS / "storyteller"), "--port", "0", *flags], NO_COLOR="1") as text:
        shown = text("ready http")

    assert f"{name} [" in shown and BAR.search(shown)
    assert "\x1b[K" in shown[BAR.search(shown).end():], "the bar is taken away"
    assert "\x1b[3" not in shown, "no colours"


@pytest.mark.parametrize("terminal", ["dumb", ""])
def test_a_terminal_that_cannot_go_back_gets_no_bar(terminal):
    with terminal_of(["engine", str(MODELS / "storyteller"), "--port", "0"], TERM=terminal) as text:
        assert not BAR.search(text("ready http"))


def test_a_bench_counts_its_answers_on_a_terminal_only():
    arguments = ["--num-prompts", "5", "--input-len", "8", "--output-len", "4"]
    with engine() as server:
        with terminal_of(["bench", "--url", server.url, *arguments]) as text:
            shown = text("TTFT")
        piped = subprocess.run([BATON, "bench", "--url", server.url, *arguments], capture_output=True, text=True, timeout=60)

    assert "at once [" in shown and "0 of 5" in shown
    assert piped.returncode == 0 and piped.stderr == "" and not BAR.search(piped.stdout)
