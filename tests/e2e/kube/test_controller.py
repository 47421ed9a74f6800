"""`baton controller` against a real API server: admission, defaulting, conversion, dry runs and garbage collection are the server's own."""
import json
import os
import subprocess
import threading

from controller import Controller, apply, children, conditions
from part import answers, wait_until


def service(name: str, **spec) -> dict:
    return {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService", "metadata": {"name": name},
            "spec": {"model": {"uri": "hf://a/b", "name": "m"}, **spec}}  # fmt: skip


def test_the_controllers_webhooks_default_refuse_warn_and_convert(controlled, place):
    plane, _ = controlled
    apply(plane, "seed/example1-llama2-7b-disaggregated.yaml", place)  # of v1alpha1
    item = plane.get("llminferenceservices.v1alpha2.serving.kserve.io", "-n", place)["items"][0]
    assert item["apiVersion"] == "serving.kserve.io/v1alpha2"
    assert item["spec"]["model"]["name"]
    assert plane.get("llminferenceservices.v1alpha1.serving.kserve.io", "-n", place)["items"][0]["apiVersion"] == "serving.kserve.io/v1alpha1"

    wrong = service("wrong", router={"route": {"group": "g"}}, parallelism={"data": 2})
    refused = plane.kubectl("create", "-f", "-", input=json.dumps(wrong), check=False)
    assert "spec.router.route.weight: Required value" in refused
    assert "spec.parallelism.dataLocal" in refused

    slip = service("slip", template={"containers": [{"name": "main", "comand": ["x"]}]})
    warned = plane.kubectl("create", "-f", "-", "--dry-run=server", input=json.dumps(slip), check=False)
    assert "Warning: spec.template.containers[0].comand: unknown field, has no effect (did you mean 'command'?)" in warned


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
    plane.kubectl("delete", "llmisvc", name, "-n", place, "--timeout=120s")
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
    plane.kubectl("delete", "llmisvc", "--all", "-n", place, "--timeout=120s")
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
    plane.kubectl("set", "image", "deployment/storyteller-kserve", "main=example.org/other", "-n", place)
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


class Looks:
    """Asks again and again, without a pause; the answers that there were."""

    def __init__(self, ask):
        self.seen = set()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(ask,))

    def _look(self, ask):
        while not self._ends.is_set():
            self.seen.add(ask())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()


def test_another_takes_over_when_the_leader_goes(controlled, place):
    plane, controller = controlled
    controller.stop()
    first, second = (Controller(plane, name, hooks=False, flags=["--leader-elect"]) for name in ("first", "second"))

    def holder() -> str:
        lease = ("lease", "llminferenceservice-kserve-controller-manager", "kserve")
        return plane.get(lease[0], lease[1], "-n", lease[2])["spec"].get("holderIdentity", "") if plane.exists(*lease) else ""

    try:
        first.start()
        was = wait_until(holder, "a holder", 30)
        second.start()
        controller.start()  # for its webhooks
        plane.kubectl("create", "-n", place, "-f", "-", input=json.dumps(service("s")))
        with Looks(lambda: answers(f"http://127.0.0.1:{second.health}/readyz")) as ready:
            first.stop()  # gives the lease back
            wait_until(lambda: holder() not in ("", was), "another holder", 30, step=0.2)
            second.settle()
        assert ready.seen == {True}  # also while it listed: the API server may need its webhooks for that
        assert ("apps/v1", "Deployment", "s-kserve") in children(plane, place)
    finally:
        second.stop()
        first.stop()
        if not controller.part.is_running():
            controller.start()


def test_a_wrong_flag_or_kubeconfig_says_so():
    def run(*words):
        return subprocess.run([os.environ["BATON"], "controller", *words], capture_output=True, text=True, timeout=30)

    wrong = run("--metrics-bind-address", "nonsense", "--kubeconfig", "/nonexistent")
    assert wrong.returncode in (2, 4) and "/nonexistent" in wrong.stderr
    assert run("--no-such-flag").returncode == 2
