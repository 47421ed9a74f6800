"""What breaks around the controller: it converges, makes nothing twice, and deletes nothing that is not its own."""
import base64
import json

import pytest
from control_plane import ControlPlane
from controller import Controller, children, conditions
from identities import ADMIN_TOKEN
from part import answers, wait_until
from relay import Relay

LEASE = "llminferenceservice-kserve-controller-manager"
SECRET = "llmisvc-webhook-server-cert"
MANY = 6


def service(name: str, replicas: int = 1) -> dict:
    return {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService", "metadata": {"name": name},
            "spec": {"model": {"uri": "hf://org/model", "name": "m"}, "replicas": replicas, "prefill": {"replicas": 1},
                     "router": {"scheduler": {}, "route": {}, "gateway": {}}}}  # fmt: skip


# What each of them leads to.
def wanted(name: str) -> set:
    return {("Deployment", f"{name}-kserve"), ("Deployment", f"{name}-kserve-prefill"), ("Deployment", f"{name}-kserve-router-scheduler"),
            ("HTTPRoute", f"{name}-kserve-route"), ("InferencePool", f"{name}-inference-pool")}  # fmt: skip


class Broken:
    """A controller whose connections to the API server go through a relay. As under a kubelet it is started again when it ends because it
    could not keep its lease."""

    def __init__(self, plane):
        self.plane = plane
        self.relay = Relay(plane.port)
        text = plane.admin.read_text()
        assert str(plane.port) in text
        kubeconfig = plane.folder / "relayed.kubeconfig"
        kubeconfig.write_text(text.replace(f":{plane.port}", f":{self.relay.port}"))
        self.controller = Controller(plane, flags=["--leader-elect"])
        self.controller.install()
        self.controller.act_as(kubeconfig)
        self.controller.start()

    def place(self, name: str) -> str:
        self.plane.kubectl("create", "namespace", name)
        self.plane.wait_for("serviceaccount", "default", name)
        return name

    def create(self, namespace: str, *names: str):
        items = [service(name) for name in names]
        self.plane.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def kinds(self, namespace: str) -> set:
        return {key[-2:] for key in children(self.plane, namespace)}

    def wait_made(self, namespace: str, *names: str):
        """All of each, and for no child a second one."""
        all_of_them = set().union(*(wanted(name) for name in names))
        kinds = {kind for kind, _ in all_of_them}

        def made():
            self.keep_running()
            try:
                return {key for key in self.kinds(namespace) if key[0] in kinds} == all_of_them
            except AssertionError:
                return False  # the API server is not back yet

        wait_until(made, f"the children of {', '.join(names)}", 90, step=0.3)

    def keep_running(self):
        if not self.controller.part.is_running():
            assert self.controller.part.process.returncode == 7, self.controller.part.tail()
            self.controller.start()

    def tails(self) -> str:
        return self.controller.part.tail() + "\n" + self.plane.tails()


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("broken")) as plane:
        broken = Broken(plane)
        yield broken
        broken.controller.stop()
        broken.relay.close()


@pytest.fixture(scope="module")
def rotated(broken):
    """The webhooks' Secret is lost while the other tests run: (the authorities that were trusted before). The controller looks once a minute."""
    before = bundle(broken.plane)
    broken.plane.kubectl("delete", "secret", SECRET, "-n", "kserve")
    return before


def bundle(plane) -> str:
    hook = plane.get("validatingwebhookconfiguration", "llminferenceservice.serving.kserve.io")["webhooks"][0]
    return hook["clientConfig"].get("caBundle", "")


def test_an_api_server_that_is_killed_in_the_middle_of_a_burst(broken):
    place, names = broken.place("killed"), [f"k{i}" for i in range(MANY)]
    broken.create(place, *names)
    broken.plane.restart("kube-apiserver")
    broken.wait_made(place, *names)
    broken.controller.settle(90)
    before = children(broken.plane, place)
    for name in names:
        assert conditions(broken.plane, name, place)["PresetsCombined"] == ("True", "")
    # Nothing is left to be done.
    broken.plane.kubectl("label", "llmisvc", "--all", "-n", place, "touched=yes")
    broken.controller.settle()
    assert children(broken.plane, place) == before


def test_an_etcd_that_stalls_while_services_are_made(broken):
    place, names = broken.place("stalled"), [f"e{i}" for i in range(MANY)]
    etcd = broken.plane.part("etcd")
    broken.create(place, *names)
    etcd.pause()
    try:
        # /readyz asks etcd and gives up after two seconds.
        wait_until(lambda: not answers(f"{broken.plane.server}/readyz/etcd", broken.plane.identities.ca, token=ADMIN_TOKEN),
                   "an API server that misses its etcd", 30)  # fmt: skip
    finally:
        etcd.resume()
    broken.wait_made(place, *names)


def test_watches_that_are_cut(broken):
    place = broken.place("cut")
    broken.create(place, "c")
    broken.wait_made(place, "c")
    broken.controller.settle()
    before = broken.relay.accepted
    assert broken.relay.cut() > 10  # a connection for each kind that is followed
    broken.plane.kubectl("patch", "llmisvc", "c", "-n", place, "--type=merge", "-p", json.dumps({"spec": {"replicas": 3}}))
    broken.plane.kubectl("delete", "deployment", "c-kserve-prefill", "-n", place)
    broken.relay.cut()

    def converged():
        found = {item["metadata"]["name"]: item["spec"]["replicas"] for item in broken.plane.get("deployments", "-n", place)["items"]}
        return found.get("c-kserve") == 3 and "c-kserve-prefill" in found

    wait_until(converged, "what changed meanwhile", 60, step=0.2)
    broken.wait_made(place, "c")
    assert broken.relay.accepted > before
    broken.controller.settle()


def test_objects_that_others_made_under_the_same_names_stay_as_they_are(broken):
    plane, place = broken.plane, broken.place("foreign")
    pod = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    ours = {"app.kubernetes.io/part-of": "llminferenceservice", "app.kubernetes.io/name": "f", "kserve.io/component": "workload"}
    # One where a child is to be, one that only looks like one.
    foreign = [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": place, "labels": ours},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": pod}} for name in ("f-kserve", "f-kserve-old")]  # fmt: skip
    plane.apply(foreign)

    def versions():
        return {item["metadata"]["name"]: (item["metadata"]["uid"], item["metadata"]["generation"], item["metadata"]["labels"])
                for item in plane.get("deployments", "-n", place)["items"] if item["metadata"]["name"] in ("f-kserve", "f-kserve-old")}  # fmt: skip

    before = versions()
    broken.create(place, "f")

    def told():
        found = plane.get("llmisvc", "f", "-n", place).get("status", {}).get("conditions", [])
        return any("not controlled by this service" in one.get("message", "") for one in found)

    wait_until(told, "a condition that names the foreign Deployment", 30, step=0.2)
    assert versions() == before
    plane.kubectl("annotate", "llmisvc", "f", "-n", place, "serving.kserve.io/stop=true")
    wait_until(lambda: not [key for key in children(plane, place)], "stopped", 60, step=0.3)
    assert versions() == before
    plane.kubectl("delete", "llmisvc", "f", "-n", place, "--timeout=30s")
    assert versions() == before


def test_a_leader_that_was_away_writes_nothing_when_it_comes_back(broken, rotated):
    plane, place = broken.plane, broken.place("taken-over")
    broken.controller.stop()
    first = Controller(plane, "first", hooks=False, flags=["--leader-elect"]).start()

    def holder():
        return plane.get("lease", LEASE, "-n", "kserve")["spec"].get("holderIdentity", "")

    try:
        was = wait_until(holder, "a holder", 30)
        broken.controller.start()  # stands by, and serves the webhooks
        broken.create(place, "t")
        first.part.pause()  # in the middle of whatever it does; its lease runs out after 15 s
        wait_until(lambda: holder() not in ("", was), "another holder", 40, step=0.2)
        broken.wait_made(place, "t")
        broken.controller.settle()
        before = children(plane, place)
        first.part.resume()
        wait_until(lambda: not first.part.is_running(), "the first to give up", 30)
        assert first.part.process.returncode == 7
        assert "leads no more" in first.part.log.read_text()
        assert holder() != was
        broken.controller.settle()
        assert children(plane, place) == before
    finally:
        first.stop()
        broken.keep_running()


def test_webhook_certificates_that_are_lost_are_made_anew_and_trusted(broken, rotated):
    plane = broken.plane
    wait_until(lambda: plane.exists("secret", SECRET, "kserve"), "a new Secret", 90, step=0.3)

    def trusted():
        now = bundle(plane)
        made = plane.get("secret", SECRET, "-n", "kserve")["data"]["ca.crt"]
        return now != rotated and base64.b64decode(made).strip() in base64.b64decode(now)

    wait_until(trusted, "the new authority in the webhooks", 30, step=0.3)
    place = broken.place("rotated")

    # The server calls the webhooks again: without them no service can be created.
    broken.create(place, "r")
    broken.wait_made(place, "r")
