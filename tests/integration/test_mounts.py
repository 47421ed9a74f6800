"""How containers see their mount paths: really, or rewritten in what they are told."""
import pathlib

import pytest

from stack import FIRST_TURN, Stack


@pytest.mark.parametrize("mounts", ["namespace", "rewrite"])
def test_the_quickstart_serves_with_its_mount_paths(mounts):
    try:
        running = Stack("--mounts", mounts)
    except AssertionError as error:
        if "--mounts namespace is not possible" in str(error):
            pytest.skip(str(error).splitlines()[-1])
        raise
    with running as stack:
        pid = stack.pid(stack.pods("decode")[0])
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        status, headers, text = stack.chat(FIRST_TURN)

        assert status == 200, text
        assert int(headers["x-baton-remote-tokens"]) > 0
        assert (words[2] == "/mnt/models") == (mounts == "namespace"), words
