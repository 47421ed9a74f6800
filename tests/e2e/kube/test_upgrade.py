"""From an installation of October 2025 to this one: objects stored as v1alpha1, a picker configured as it was then."""

import json
import subprocess

import pytest
import yaml
from control_plane import ControlPlane
from load import Load
from part import wait_until
from programs import BATON
from test_routing import STORY, Namespace, behind_envoy, chat

CRD = "llminferenceservices.serving.kserve.io"
OLD_CONFIG = {
    "apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig",
    "plugins": [
        {"type": "pd-profile-handler", "parameters": {"threshold": 100, "hashBlockSize": 5}},
        {"type": "prefill-header-handler"}, {"type": "prefill-filter"}, {"type": "decode-filter"},
        {"type": "prefix-cache-scorer", "parameters": {"hashBlockSize": 5}}, {"type": "load-aware-scorer"}, {"type": "max-score-picker"},
    ],
    "schedulingProfiles": [
        {"name": role, "plugins": [{"pluginRef": f"{role}-filter"}, {"pluginRef": "prefix-cache-scorer", "weight": 2.0},
                                   {"pluginRef": "load-aware-scorer", "weight": 1.0}, {"pluginRef": "max-score-picker"}]}
        for role in ("prefill", "decode")],
}  # fmt: skip
OLD_PICKER = {"containers": [{"name": "main", "image": "ghcr.io/llm-d/llm-d-inference-scheduler:v0.2.0", "args": ["--configText", yaml.safe_dump(OLD_CONFIG)]}]}


def old_definitions() -> list[dict]:
    """As they were when there was only v1alpha1."""
    printed = subprocess.run([BATON, "crds"], capture_output=True, text=True, check=True).stdout
    out = []
    for item in yaml.safe_load_all(printed):
        item["spec"]["versions"] = [{**one, "storage": True} for one in item["spec"]["versions"] if one["name"] == "v1alpha1"]
        item["spec"].pop("conversion", None)
        out.append(item)
    return out


@pytest.fixture
def old(tmp_path):
    with ControlPlane(tmp_path / "plane") as plane:
        plane.install("gateway", "inference", "lws")
        definitions = tmp_path / "old.yaml"
        definitions.write_text(yaml.safe_dump_all(old_definitions()))
        plane.install_definitions(definitions)
        plane.kubectl("create", "namespace", "old")
        plane.wait_for("serviceaccount", "default", "old")
        yield plane


def stored(plane) -> list[str]:
    return plane.get("customresourcedefinition", CRD)["status"]["storedVersions"]


def picker_config(here) -> str:
    main = here.plane.get("deployment", "s-kserve-router-scheduler", "-n", here.name)["spec"]["template"]["spec"]["containers"][0]
    return main["args"][main["args"].index("--configText") + 1]


def test_what_was_stored_and_configured_before_serves_after_an_upgrade(old, tmp_path):  # llmisvc:J16
    spec = {"model": {"uri": "hf://org/model", "name": "storyteller"}, "prefill": {"replicas": 1}, "replicas": 1,
            "router": {"gateway": {}, "route": {}, "scheduler": {"template": OLD_PICKER}}}  # fmt: skip
    old.kubectl("apply", "-n", "old", "-f", "-", input=json.dumps(
        {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "LLMInferenceService", "metadata": {"name": "s"}, "spec": spec}))  # fmt: skip
    assert stored(old) == ["v1alpha1"]

    with behind_envoy(old, tmp_path) as stack:
        here = Namespace(stack, "old")
        here.ready("s")
        wait_until(lambda: stored(old) == ["v1alpha2"], "objects stored as v1alpha2", 60, step=0.2)
        path = "/old/s/v1/chat/completions"
        here.wait_placed("s", path, chat("storyteller"))
        assert yaml.safe_load(picker_config(here)) == OLD_CONFIG

        # The picker's new release: its configuration is written anew, it starts with it, and nobody notices.
        before = {pod["metadata"]["name"] for pod in here.pickers("s")}
        with Load(f"{here.front.url}/old/s/v1", "storyteller", STORY) as load:
            here.patch("s", {"router": {"scheduler": {"annotations": {"app.kubernetes.io/version": "0.10.0"}}}})
            here.ready("s")
            wait_until(lambda: before.isdisjoint(pod["metadata"]["name"] for pod in here.pickers("s")) and here.placed("s") > 10,
                       "requests that the new picker placed", 90, step=0.2)  # fmt: skip
        assert load.failures == []
        types = {plugin["type"] for plugin in yaml.safe_load(picker_config(here))["plugins"]}
        assert "disagg-profile-handler" in types and not types & {"pd-profile-handler", "prefill-header-handler"}
        (pod,) = here.pickers("s")
        assert pod["metadata"]["annotations"]["app.kubernetes.io/version"] == "0.10.0"
