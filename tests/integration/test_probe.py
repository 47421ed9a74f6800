"""Annotation baton.dev/probe: one token through gateway, picker, sidecar, prefill and decode tells whether KV moves, and where not."""
from stack import ROOT, Stack, wait_until

QUICKSTART = (ROOT / "examples/quickstart.yaml").read_text()
PROBED = QUICKSTART.replace("  name: storyteller\nspec:", '  name: storyteller\n  annotations: {baton.dev/probe: "true"}\nspec:')


def test_a_probe_tells_that_kv_moves_and_names_the_hop_that_fails(tmp_path):
    file = tmp_path / "m.yaml"
    file.write_text(PROBED)
    with Stack(files=[file]) as stack:
        told = lambda: stack.status()["services"][0].get("kvTransfer", {})  # noqa: E731
        wait_until(lambda: told().get("status") == "True", "a probe that passed")
        assert told()["message"] == "a decode pod pulled a prompt's KV from a prefill pod"

        file.write_text(PROBED.replace("prefill:\n    replicas: 1", "prefill:\n    replicas: 0"))
        wait_until(lambda: told().get("status") == "False", "a probe that failed")
        assert told()["message"].startswith("picker: chose no prefill pod")

        file.write_text(PROBED)
        wait_until(lambda: told().get("status") == "True", "a probe that passed again", 40)

        file.write_text(QUICKSTART)
        wait_until(lambda: told() == {}, "nothing said without the annotation")
