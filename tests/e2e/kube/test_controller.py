"""`baton controller` against a real API server: admission, defaulting, conversion, dry runs and garbage collection are the server's own."""
import json
import re
import subprocess
from pathlib import Path

import pytest
from control_plane import ControlPlane
from controller import GATEWAY, Controller
from part import wait_until

ROOT = Path(__file__).resolve().parents[3]
KINDS = "deployment,service,serviceaccount,role,rolebinding,secret,httproute,inferencepool,leaderworkerset"
# Manifests, and the Deployments and LeaderWorkerSets that each leads to.
SEEDS = {
    "quickstart.yaml": {"storyteller-kserve", "storyteller-kserve-prefill", "storyteller-kserve-router-scheduler"},
    "seed/disaggregated-llama2.yaml": None,
    "seed/example1-llama2-7b-disaggregated.yaml": None,
    "seed/example2-granite-8b-pd-with-configs.yaml": None,
    "seed/example3-llama2-70b-multinode-pd.yaml": None,
    "seed/standard-llama2.yaml": None,
}


@pytest.fixture(scope="module")
def controlled(tmp_path_factory):
    """A control plane of its own: the webhooks are the controller's."""
    with ControlPlane(tmp_path_factory.mktemp("controlled")) as plane:
        controller = Controller(plane)
        controller.install()
        controller.start()
        yield plane, controller
        controller.stop()


@pytest.fixture
def place(controlled, request):
    plane, _ = controlled
    name = "c-" + request.node.name.replace("_", "-").removeprefix("test-").split("[")[0][:40].rstrip("-") + str(abs(hash(request.node.name)) % 1000)
    plane.kubectl("create", "namespace", name)
    plane.wait_for("serviceaccount", "default", name)
    yield name
    plane.kubectl("delete", "llmisvc,llminferenceserviceconfig", "--all", "-n", name, "--wait=false")
    plane.kubectl("delete", "namespace", name, "--wait=false")


def apply(plane, manifest, namespace):
    """With the gateways that its services refer to."""
    text = re.sub(r"(?m)^  namespace: .*$", "", (ROOT / "examples" / manifest).read_text())
    plane.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    services = plane.get("llmisvc", "-n", namespace)["items"]
    for service in services:
        for ref in (service["spec"].get("router") or {}).get("gateway", {}).get("refs", []):
            gateway = {**GATEWAY, "metadata": {"name": ref["name"], "namespace": ref.get("namespace", namespace)}}
            plane.kubectl("create", "namespace", gateway["metadata"]["namespace"], check=False)
            plane.apply(gateway)
    return [service["metadata"]["name"] for service in services]


def children(plane, namespace):
    """{(kind, name): resourceVersion} of what services own, and their bindings."""
    out = {}
    for item in plane.get(KINDS, "-n", namespace)["items"]:
        if any(ref["kind"] == "LLMInferenceService" for ref in item["metadata"].get("ownerReferences", [])):
            out[item["apiVersion"], item["kind"], item["metadata"]["name"]] = item["metadata"]["resourceVersion"]
    for item in plane.get("clusterrolebinding", "-l", "app.kubernetes.io/part-of=llminferenceservice")["items"]:
        if item["subjects"][0]["namespace"] == namespace:
            out["ClusterRoleBinding", item["metadata"]["name"]] = item["metadata"]["resourceVersion"]
    return out


def conditions(plane, name, namespace):
    found = plane.get("llmisvc", name, "-n", namespace).get("status", {}).get("conditions", [])
    return {one["type"]: (one["status"], one.get("reason", "")) for one in found}


@pytest.mark.parametrize("manifest", SEEDS)
def test_manifests_reach_steady_state_and_nothing_is_written_twice(controlled, place, manifest):
    plane, controller = controlled
    names = apply(plane, manifest, place)
    assert names
    controller.settle()

    for name in names:
        told = conditions(plane, name, place)
        assert told["PresetsCombined"] == ("True", ""), told
        assert told["WorkloadsReady"][0] == "False"  # no pod runs here
    made = children(plane, place)
    assert made
    if SEEDS[manifest]:
        assert {name for _, kind, name in [key for key in made if len(key) == 3] if kind == "Deployment"} == SEEDS[manifest]

    # A second pass: something is touched that changes nothing.
    before = controller.writes()
    for name in names:
        plane.kubectl("label", "llmisvc", name, "-n", place, "touched=yes")
    controller.settle()
    assert controller.writes() == before
    assert children(plane, place) == made

    # A restarted controller looks at everything again, and writes nothing.
    controller.restart()
    controller.settle()
    assert controller.writes() == 0, controller.requests()
    assert children(plane, place) == made


def test_a_stopped_service_leaves_nothing_and_comes_back(controlled, place):
    plane, controller = controlled
    (name,) = apply(plane, "quickstart.yaml", place)
    controller.settle()
    made = children(plane, place)
    plane.kubectl("annotate", "llmisvc", name, "-n", place, "serving.kserve.io/stop=true")
    controller.settle()
    assert children(plane, place) == {}
    told = conditions(plane, name, place)
    assert told["Ready"] == ("False", "Stopped") and told["TokenizerReady"] == ("False", "Stopped")
    status = plane.get("llmisvc", name, "-n", place)["status"]
    assert not {"url", "addresses", "workloads", "router"} & set(status)

    plane.kubectl("annotate", "llmisvc", name, "-n", place, "serving.kserve.io/stop-")
    controller.settle()
    assert children(plane, place).keys() == made.keys()


def test_only_the_annotated_service_stops(controlled, place):  # llmisvc:J02
    plane, controller = controlled
    (name,) = apply(plane, "quickstart.yaml", place)
    other = plane.get("llmisvc", name, "-n", place)
    other["metadata"] = {"name": "other", "namespace": place}
    other.pop("status", None)
    plane.kubectl("create", "-f", "-", input=json.dumps(other))
    controller.settle()
    plane.kubectl("annotate", "llmisvc", name, "-n", place, "serving.kserve.io/stop=true")
    controller.settle()
    left = {key[-1] for key in children(plane, place)}
    assert left and all("other" in one for one in left), left
    assert conditions(plane, "other", place)["MainWorkloadReady"][1] != "Stopped"


def test_a_deleted_service_leaves_nothing(controlled, place):
    plane, controller = controlled
    (name,) = apply(plane, "quickstart.yaml", place)
    controller.settle()
    assert children(plane, place)
    plane.kubectl("delete", "llmisvc", name, "-n", place, "--timeout=30s")
    wait_until(lambda: children(plane, place) == {}, "everything gone", 30, step=0.2)


def test_a_configuration_in_use_is_not_deleted(controlled, place):
    plane, controller = controlled
    apply(plane, "seed/example2-granite-8b-pd-with-configs.yaml", place)
    controller.settle()

    def referenced():
        configs = plane.get("llminferenceserviceconfig", "-n", place)["items"]
        return [one for one in configs if one.get("status", {}).get("referencedBy")]

    used = wait_until(referenced, "a configuration that says who uses it", 30, step=0.2)
    name = used[0]["metadata"]["name"]
    plane.kubectl("delete", "llminferenceserviceconfig", name, "-n", place, "--wait=false")

    def held():
        status = plane.get("llminferenceserviceconfig", name, "-n", place)["status"]
        return "DeletionBlocked" in [one.get("reason") for one in status["conditions"]]

    wait_until(held, "DeletionBlocked", 30, step=0.2)
    plane.kubectl("delete", "llmisvc", "--all", "-n", place, "--timeout=30s")
    wait_until(lambda: not plane.exists("llminferenceserviceconfig", name, place), "the configuration gone", 30, step=0.2)


def test_what_is_deleted_or_changed_underneath_is_restored(controlled, place):
    plane, controller = controlled
    apply(plane, "quickstart.yaml", place)
    controller.settle()
    made = children(plane, place).keys()
    plane.kubectl("delete", "deployment,service,serviceaccount,role,rolebinding,httproute", "-l", "app.kubernetes.io/part-of=llminferenceservice", "-n", place, "--wait=false")
    plane.kubectl("delete", "inferencepool", "--all", "-n", place, "--wait=false")
    wait_until(lambda: children(plane, place).keys() == made, "everything made again", 60, step=0.3)
    controller.settle()
    plane.kubectl("set", "image", "deployment/storyteller-kserve", "*=example.org/other", "-n", place)
    controller.settle()
    assert "example.org/other" not in plane.kubectl("get", "deployment", "storyteller-kserve", "-n", place, "-o", "yaml")


def test_an_api_server_that_is_away_for_a_while_is_no_trouble(controlled, place):
    plane, controller = controlled
    apply(plane, "quickstart.yaml", place)
    controller.settle()
    made = children(plane, place)
    plane.restart("kube-apiserver")
    plane.kubectl("annotate", "llmisvc", "storyteller", "-n", place, "serving.kserve.io/stop=true")
    wait_until(lambda: children(plane, place) == {}, "stopped after the API server came back", 90, step=0.5)
    plane.kubectl("annotate", "llmisvc", "storyteller", "-n", place, "serving.kserve.io/stop-")
    wait_until(lambda: children(plane, place).keys() == made.keys(), "back", 60, step=0.5)


def test_another_takes_over_when_the_leader_goes(controlled, place):
    plane, controller = controlled
    controller.stop()
    first = Controller(plane, "first", hooks=False, flags=["--leader-elect"]).start()
    holder = plane.get("lease", "llminferenceservice-kserve-controller-manager", "-n", "kserve")["spec"]["holderIdentity"]
    second = Controller(plane, "second", hooks=False, flags=["--leader-elect"]).start()
    try:
        # Without webhooks v1alpha1 is not served; this one is written as v1alpha2.
        service = {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService", "metadata": {"name": "s"},
                   "spec": {"model": {"uri": "hf://a/b", "name": "m"}}}
        controller.start()
        plane.kubectl("create", "-n", place, "-f", "-", input=json.dumps(service))
        first.stop()  # gives the lease back
        wait_until(lambda: plane.get("lease", "llminferenceservice-kserve-controller-manager", "-n", "kserve")["spec"].get("holderIdentity") not in (None, "", holder),
                   "another holder", 30, step=0.2)
        second.settle()
        assert ("apps/v1", "Deployment", "s-kserve") in children(plane, place)
    finally:
        second.stop()
        first.stop() if first.part.is_running() else None


def test_a_wrong_flag_or_kubeconfig_says_so():
    import os

    def run(*words):
        return subprocess.run([os.environ["BATON"], "controller", *words], capture_output=True, text=True, timeout=30)

    wrong = run("--metrics-bind-address", "nonsense", "--kubeconfig", "/nonexistent")
    assert wrong.returncode in (2, 4) and "/nonexistent" in wrong.stderr
    assert run("--no-such-flag").returncode == 2
