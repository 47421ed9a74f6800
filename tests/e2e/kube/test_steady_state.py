"""Every manifest of the seed and of examples/ on a real API server: made once, then at rest, also for a controller that has just started."""
import json
import os
import subprocess

import keda
import pytest
import yaml
from control_plane import ControlPlane
from controller import GATEWAY, ROOT, WRITES, Controller, children_everywhere, conditions
from part import wait_until

EXAMPLES = ROOT / "examples"
# Those of the seed that are no services, or pieces of one.
OTHERS = {"endpoint-picker-config.yaml", "fragment-decode.yaml", "fragment-prefill.yaml", "inferencepool-targets.yaml"}
MANIFESTS = sorted(str(file.relative_to(EXAMPLES)) for file in EXAMPLES.rglob("*.yaml") if file.name not in OTHERS)
SCALED = {"kserve/scaling-hpa.yaml": "HorizontalPodAutoscaler", "kserve/scaling-keda.yaml": "ScaledObject",
          "kserve/scaling-wva-keda.yaml": "ScaledObject"}  # fmt: skip
# What WVA's triggers ask: a setting of the installation.
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
            "data": {"autoscaling-wva-controller-config": json.dumps({"prometheus": {"url": "http://prometheus.monitoring:9090"}})}}  # fmt: skip
MOST_SECONDS = 120


def namespace_of(manifest: str) -> str:
    return manifest.replace("/", "-").removesuffix(".yaml")[:60]


def plan_of(manifest: str) -> set:
    """(kind, name) of what `baton plan` says the manifest leads to."""
    done = subprocess.run([os.environ["BATON"], "plan", "-f", EXAMPLES / manifest, "-f", "-", "-o", "json"], input=json.dumps(SETTINGS),
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    return {(item["kind"], item["metadata"]["name"]) for item in items} | set(keys_in(items))


def keys_in(part):
    """Secrets of a service's own that its pods mount: made as they are needed, their content is in no plan."""
    for member in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from keys_in(member)
    name = part.get("secretName", "") if isinstance(part, dict) else ""
    if "-kserve-" in name:
        yield "Secret", name


def objects_of(manifest: str) -> list:
    """All in the manifest's own namespace, whatever it says."""
    objects = [document for document in yaml.safe_load_all((EXAMPLES / manifest).read_text()) if document]
    for item in objects:
        item["metadata"]["namespace"] = namespace_of(manifest)
    return objects


def gateways_of(objects: dict) -> list:
    """Those that the services refer to."""
    refs = {(ref["name"], ref.get("namespace", item["metadata"]["namespace"])) for items in objects.values() for item in items
            for ref in ((item["spec"].get("router") or {}).get("gateway") or {}).get("refs", [])}  # fmt: skip
    return [{**GATEWAY, "metadata": {"name": name, "namespace": namespace}} for name, namespace in sorted(refs)]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A controller beside all manifests, each in a namespace of its own: {manifest: names of its services}."""
    # Without the autoscaler's controller: it never rests.
    with ControlPlane(tmp_path_factory.mktemp("everything"), without=["horizontal-pod-autoscaler-controller"]) as plane:
        controller = Controller(plane)
        controller.install()
        plane.apply([keda.DEFINITION, SETTINGS])
        controller.start()
        objects = {manifest: objects_of(manifest) for manifest in MANIFESTS}
        places = [namespace_of(manifest) for manifest in MANIFESTS]
        plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted({*places, *(gateway["metadata"]["namespace"] for gateway in gateways_of(objects))})])
        plane.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": place}}
                     for place in places for name in ("reader", "store")])  # fmt: skip
        for place in places:
            plane.wait_for("serviceaccount", "default", place)
        plane.apply(gateways_of(objects))
        plane.apply([item for items in objects.values() for item in items])
        names = {manifest: [item["metadata"]["name"] for item in items if item["kind"] == "LLMInferenceService"] for manifest, items in objects.items()}
        controller.settle(MOST_SECONDS)
        yield Everything(plane, controller, names)
        controller.stop()


class Everything:
    def __init__(self, plane, controller, names):
        self.plane, self.controller, self.names = plane, controller, names
        self.children = all_children(plane)
        self.services = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in plane.get("llmisvc", "-A")["items"]}

    def tails(self) -> str:
        return self.controller.tails()


def all_children(plane) -> dict:
    found = children_everywhere(plane)
    return {manifest: found[namespace_of(manifest)] for manifest in MANIFESTS}


def statuses(plane) -> dict:
    return {(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]): item.get("status")
            for item in plane.get("llmisvc,llminferenceserviceconfig", "-A")["items"]}  # fmt: skip


def differences(before: dict, after: dict) -> list:
    """What was made, changed or removed, in words."""
    return [f"{manifest}: {key}: {before[manifest].get(key)} -> {after[manifest].get(key)}" for manifest in before
            for key in before[manifest].keys() | after[manifest].keys() if before[manifest].get(key) != after[manifest].get(key)]  # fmt: skip


def test_there_are_samples_of_every_kind():
    assert len([one for one in MANIFESTS if one.startswith("kserve/")]) >= 10
    assert len([one for one in MANIFESTS if one.startswith("seed/")]) >= 5


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_leads_to_what_was_planned(everything, manifest):
    place = namespace_of(manifest)
    assert everything.names[manifest]
    for name in everything.names[manifest]:
        service = everything.services[place, name]
        told = {one["type"]: (one["status"], one.get("reason", "")) for one in service["status"]["conditions"]}
        assert told["PresetsCombined"] == ("True", ""), told
        assert told["WorkloadsReady"][0] == "False", told  # no pod runs here
        assert service["status"]["observedGeneration"] == service["metadata"]["generation"]
        assert (told["ScalingReady"][0] == "False") if manifest in SCALED else ("ScalingReady" not in told)  # no autoscaler runs here
    made = {key[-2:] for key in everything.children[manifest]}
    assert manifest not in SCALED or SCALED[manifest] in {kind for kind, _ in made}
    # Of a binding of the cluster the name has the namespace in it.
    named = lambda keys: {key for key in keys if key[0] != "ClusterRoleBinding"}  # noqa: E731
    assert named(made) == named(plan_of(manifest))


def test_what_autoscalers_report_is_told_and_what_they_mark_stays(everything):
    plane, controller = everything.plane, everything.controller
    waits = {"AbleToScale": "True", "ScalingActive": "True", "Ready": "True"}
    for manifest, kind in SCALED.items():
        for scaler in plane.get(kind, "-n", namespace_of(manifest))["items"]:
            name = scaler["metadata"]["name"]
            plane.patch(kind, name, namespace_of(manifest), {"metadata": {"labels": {"scaledobject.keda.sh/name": name}}})
            said = [{"type": what, "status": status, "reason": "Test", "message": "", **({"lastTransitionTime": "2026-01-01T00:00:00Z"} if kind != "ScaledObject" else {})}
                    for what, status in waits.items()]
            plane.patch(kind, name, namespace_of(manifest), {"status": {"conditions": said}}, "status")
    controller.settle(MOST_SECONDS)
    for manifest, kind in SCALED.items():
        for name in everything.names[manifest]:
            assert conditions(plane, name, namespace_of(manifest))["ScalingReady"] == ("True", ""), manifest
        for scaler in plane.get(kind, "-n", namespace_of(manifest))["items"]:
            assert scaler["metadata"]["labels"]["scaledobject.keda.sh/name"] == scaler["metadata"]["name"]


def test_a_second_pass_and_a_restarted_controller_write_nothing(everything):
    plane, controller = everything.plane, everything.controller
    controller.settle(MOST_SECONDS)
    made, before, said = all_children(plane), controller.requests(), statuses(plane)

    # Something is touched that changes nothing.
    plane.kubectl("label", "llmisvc", "-A", "--all", "touched=yes")
    controller.settle(MOST_SECONDS)
    assert differences(made, all_children(plane)) == []
    now = statuses(plane)
    assert [(key, said[key], now[key]) for key in said if said[key] != now[key]] == []
    after = controller.requests()
    assert {verb: after[verb] - before[verb] for verb in WRITES} == dict.fromkeys(WRITES, 0)

    # A restarted controller looks at everything again.
    controller.restart()
    controller.settle(MOST_SECONDS)
    assert differences(made, all_children(plane)) == []
    assert controller.writes() == 0, controller.requests()


def test_all_of_it_goes_with_its_services(everything):
    plane, controller = everything.plane, everything.controller
    plane.kubectl("delete", "llmisvc", "-A", "--all", "--timeout=240s")
    wait_until(lambda: not any(all_children(plane).values()), "everything gone", 90, step=1)
    controller.settle(MOST_SECONDS)
    assert controller.figures()["baton_controller_queue_depth"] == 0
