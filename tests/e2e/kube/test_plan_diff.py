"""`baton plan --diff`: what applying a manifest to a live cluster would change, and that asking changes nothing."""
import os
import re
import subprocess

from controller import ROOT, apply, children

QUICKSTART = ROOT / "examples/quickstart.yaml"


def diff(plane, namespace, text):
    """(exit code, standard output, standard error); manifests without a namespace go where the kubeconfig's context says."""
    kubeconfig = plane.folder / f"{namespace}.kubeconfig"
    if not kubeconfig.exists():
        kubeconfig.write_text(plane.admin.read_text())
        plane.kubectl("config", "set-context", "--current", f"--namespace={namespace}", user=kubeconfig)
    done = subprocess.run([os.environ["BATON"], "plan", "-f", "-", "--diff", "--kubeconfig", kubeconfig], input=text, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def told(text) -> set:
    """(before, after) of the files, without group and version."""
    short = lambda path: path if path == "/dev/null" else "/".join([path.split("/")[0], *path.split("/")[-3:]])  # noqa: E731
    return {(short(a), short(b)) for a, b in re.findall(r"^--- (\S+)\n\+\+\+ (\S+)$", text, re.M)}


def test_of_a_new_service_it_tells_everything_and_makes_nothing(controlled, place):
    plane, controller = controlled
    code, out, err = diff(plane, place, QUICKSTART.read_text())
    assert code == 1, err
    shown = {after for before, after in told(out) if before == "/dev/null"}
    assert {f"planned/LLMInferenceService/{place}/storyteller", f"planned/Deployment/{place}/storyteller-kserve",
            f"planned/HTTPRoute/{place}/storyteller-kserve-route"} <= shown  # fmt: skip
    assert "+  replicas: 2" in out
    assert plane.get("llmisvc", "-n", place)["items"] == []
    assert children(plane, place) == {}

    # And that is what is made.
    apply(plane, "quickstart.yaml", place)
    controller.settle()
    made = {key[-2:] for key in children(plane, place)}
    parts = [path.split("/") for path in shown]
    planned = {(next(word for word in path if word[:1].isupper()), path[-1]) for path in parts}
    assert planned == made | {("LLMInferenceService", "storyteller")}


def test_of_what_is_there_it_tells_nothing(controlled, place):
    plane, controller = controlled
    apply(plane, "quickstart.yaml", place)
    controller.settle()
    assert diff(plane, place, QUICKSTART.read_text()) == (0, "", "")


def test_it_tells_what_changes_and_what_goes(controlled, place):
    plane, controller = controlled
    apply(plane, "quickstart.yaml", place)
    controller.settle()
    before, writes = children(plane, place), controller.writes()
    changed = re.sub(r"(?m)^  replicas: 2$", "  replicas: 5", QUICKSTART.read_text())
    assert changed != QUICKSTART.read_text()
    code, out, err = diff(plane, place, changed)
    assert code == 1, err
    assert told(out) == {(f"live/{what}", f"planned/{what}") for what in
                         (f"LLMInferenceService/{place}/storyteller", f"Deployment/{place}/storyteller-kserve")}  # fmt: skip
    assert out.count("-  replicas: 2\n+  replicas: 5\n") == 2

    without = re.sub(r"(?ms)^  prefill:\n(?:    .*\n)+", "", QUICKSTART.read_text())
    assert without != QUICKSTART.read_text()
    code, out, err = diff(plane, place, without)
    assert code == 1, err
    assert (f"live/Deployment/{place}/storyteller-kserve-prefill", "/dev/null") in told(out)
    controller.settle()
    assert children(plane, place) == before and controller.writes() == writes


def test_what_the_server_refuses_and_what_would_not_work_is_an_error(controlled, place):
    plane, _ = controlled
    wrong = re.sub(r"(?m)^  replicas: 2$", "  replicas: -2", QUICKSTART.read_text())
    code, out, err = diff(plane, place, wrong)
    assert code == 2 and "replicas" in err and out == ""
    lost = QUICKSTART.read_text() + "  baseRefs: [{name: no-such-config}]\n"
    code, out, err = diff(plane, place, lost)
    assert code > 1 and "no-such-config" in err


def test_an_output_format_beside_it_is_refused():
    done = subprocess.run([os.environ["BATON"], "plan", "--diff", "-o", "json"], capture_output=True, text=True)
    assert done.returncode == 2 and "--diff" in done.stderr
