"""The manifests of the seed, unchanged, on this machine with the stand-in model."""
import json
import os
import signal
import subprocess

import pytest

from stack import BATON, ROOT, Stack, post, wait_until

SEED = ROOT / "examples/seed"


@pytest.mark.parametrize("name, model, prefill, decode", [
    ("example1-llama2-7b-disaggregated", "llama2-7b", 2, 4),
    ("example2-granite-8b-pd-with-configs", "granite-8b", 3, 6),
    ("disaggregated-llama2", "llama2-disaggregated", 2, 6),
    ("standard-llama2", "llama2-standard", 0, 4),
])
def test_a_seed_manifest_serves_with_the_stand_in(name, model, prefill, decode):
    with Stack("--stand-in", "storyteller", files=[SEED / f"{name}.yaml"], seconds=60) as stack:
        roles = [p["role"] for p in stack.status()["pods"] if p["state"] == "Ready"]
        assert roles.count("prefill") == prefill
        assert len(roles) - roles.count("prefill") == decode

        status, headers, text = post(f"{stack.url}/chat/completions", {
            "model": model, "max_tokens": 40, "temperature": 0,
            "messages": [{"role": "user", "content": "Write a story about a robot. " + "Take your time. " * 20}]})

        assert status == 200, text
        assert headers["x-baton-stand-in"] == "storyteller"
        if prefill:
            assert int(headers["x-baton-remote-tokens"]) > 0


def test_seed_example_3_serves_with_its_prefill_group_of_two_pods():
    with Stack("--stand-in", "storyteller", files=[SEED / "example3-llama2-70b-multinode-pd.yaml"], seconds=120) as stack:
        pods = {p["name"]: p for p in stack.status()["pods"] if p["state"] == "Ready"}
        group = "llama2-70b-multinode-pd-kserve-mn-prefill-0"
        assert [p["role"] for p in pods.values()].count("decode") == 8
        assert pods[group]["role"] == "prefill"
        assert pods[group + "-1"]["role"] == ""

        status, headers, text = post(f"{stack.url}/chat/completions", {
            "model": "llama2-70b", "max_tokens": 20, "temperature": 0,
            "messages": [{"role": "user", "content": "Write a story about a robot. " + "Take your time. " * 20}]})

        assert status == 200, text
        assert int(headers["x-baton-remote-tokens"]) > 0
        # The worker does nothing, and the group stands or falls with it.
        before = pods[group]["containers"][-1]["pid"]
        os.kill(pods[group + "-1"]["containers"][-1]["pid"], signal.SIGKILL)
        wait_until(lambda: any(p["name"] == group and p["state"] == "Ready" and p["containers"][-1]["pid"] != before
                               for p in stack.status()["pods"]), "the leader to be replaced", 60)


@pytest.mark.parametrize("name", sorted(p.stem for p in SEED.glob("*.yaml") if "fragment" not in p.stem))
def test_a_seed_manifest_plans_without_error(name):
    done = subprocess.run([BATON, "plan", "-f", str(SEED / f"{name}.yaml"), "-o", "json"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "List"


@pytest.mark.parametrize("name", ["fragment-prefill", "fragment-decode"])
def test_a_fragment_without_model_is_refused_naming_the_member(name):
    done = subprocess.run([BATON, "plan", "-f", str(SEED / f"{name}.yaml")], capture_output=True, text=True)

    assert done.returncode == 2
    assert "/spec/model" in done.stderr
