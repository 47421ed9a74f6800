"""What breaks around the controller: it converges, makes nothing twice, and deletes nothing that is not its own."""
import base64
import json
import ssl
import threading

import pytest
from api import Refused
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


class Reader:
    """Reads a service through v1alpha1 without a pause: each read is a conversion by the controller's webhook."""

    def __init__(self, plane, namespace: str, name: str):
        self.reads, self.failures = 0, []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(plane, namespace, name))
        self._thread.start()

    def _read(self, plane, namespace, name):
        while not self._ends.wait(0.05):
            try:
                found = plane.get("llminferenceservices.v1alpha1.serving.kserve.io", name, "-n", namespace)
                assert found["apiVersion"] == "serving.kserve.io/v1alpha1"
            except AssertionError as error:
                self.failures.append(str(error))
            self.reads += 1

    def stop(self):
        self._ends.set()
        self._thread.join()


@pytest.fixture(scope="module")
def renewed(broken):
    """The webhooks' certificate is about to end, while the other tests run: (the one that was served, who reads). The controller looks once
    a minute."""
    plane, place = broken.plane, broken.place("renewed")
    broken.create(place, "n")
    broken.wait_made(place, "n")
    before = served_certificate(broken)
    data = {name: base64.b64decode(value) for name, value in plane.get("secret", SECRET, "-n", "kserve")["data"].items()}
    ending = plane.identities.ending(data["ca.crt"], data["ca.key"], "IP:127.0.0.1")
    plane.patch("secret", SECRET, "kserve", {"data": {name: base64.b64encode(text).decode() for name, text in zip(("tls.crt", "tls.key"), ending)}})
    reader = Reader(plane, place, "n")
    yield before, reader
    reader.stop()


@pytest.fixture(scope="module")
def lost(broken):
    """The webhooks' Secret is lost while the other tests run: (the authorities that were trusted before)."""
    before = bundle(broken.plane)
    broken.plane.kubectl("delete", "secret", SECRET, "-n", "kserve")
    return before


def served_certificate(broken) -> str:
    return ssl.get_server_certificate(("127.0.0.1", broken.controller.hooks), timeout=10)


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


def test_watches_that_are_cut(broken, renewed):
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
    plane.kubectl("delete", "llmisvc", "f", "-n", place, "--timeout=120s")
    assert versions() == before


class Storm:
    """Others who change an object some thirty times a second: whoever read it before writes in vain."""

    def __init__(self, plane, *objects):
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._change, args=(plane, *which)) for which in objects]
        self.changes = 0

    def _change(self, plane, kind, name, namespace):
        while not self._ends.wait(0.02):
            self.changes += 1
            plane.patch(kind, name, namespace, {"metadata": {"annotations": {"example.org/of-others": str(self.changes)}}})

    def __enter__(self):
        [thread.start() for thread in self._threads]
        return self

    def __exit__(self, *_):
        self._ends.set()
        [thread.join() for thread in self._threads]


def test_others_who_write_all_the_time(broken):
    plane, place = broken.plane, broken.place("storm")
    broken.create(place, "w")
    broken.wait_made(place, "w")
    conflicts = lambda: sum(n for name, n in broken.controller.figures().items() if "requests_total" in name and 'result="conflict"' in name)  # noqa: E731
    before, replicas = conflicts(), 1
    with Storm(plane, ("deployment", "w-kserve", place), ("deployment", "w-kserve-prefill", place), ("llmisvc", "w", place)):
        for replicas in range(2, 200):
            plane.patch("llmisvc", "w", place, {"spec": {"replicas": replicas, "prefill": {"replicas": replicas}}})
            wait_until(lambda: plane.get("deployment", "w-kserve", "-n", place)["spec"]["replicas"] == replicas, "a change made in the storm", 60)
            if conflicts() - before >= 3:
                break
    assert conflicts() - before >= 3

    def converged():
        found = {item["metadata"]["name"]: item["spec"]["replicas"] for item in plane.get("deployments", "-n", place)["items"]}
        return found["w-kserve"] == found["w-kserve-prefill"] == replicas

    wait_until(converged, "the last change on both sides", 60, step=0.1)
    broken.wait_made(place, "w")
    for name in ("w-kserve", "w-kserve-prefill"):
        assert "example.org/of-others" in plane.get("deployment", name, "-n", place)["metadata"]["annotations"]
    broken.controller.settle()


def test_the_webhooks_answer_all_the_time_while_their_certificate_is_renewed(broken, renewed):
    before, reader = renewed
    wait_until(lambda: served_certificate(broken) != before, "another certificate", 90, step=0.2)
    reads = reader.reads
    wait_until(lambda: reader.reads > reads + 20, "reads after it")
    reader.stop()
    assert reader.failures == [] and reads > 0


def test_a_leader_that_was_away_writes_nothing_when_it_comes_back(broken, lost):
    plane, place, names = broken.plane, broken.place("taken-over"), [f"t{i}" for i in range(MANY)]
    broken.controller.stop()
    first = Controller(plane, "first", hooks=False, flags=["--leader-elect"]).start()

    def holder():
        return plane.get("lease", LEASE, "-n", "kserve")["spec"].get("holderIdentity", "")

    try:
        was = wait_until(holder, "a holder", 30)
        broken.controller.start()  # stands by, and serves the webhooks
        broken.create(place, *names)
        wait_until(lambda: children(plane, place), "a first child", 30, step=0.01)
        first.part.pause()  # in the middle of its work; its lease runs out after 15 s
        wait_until(lambda: holder() not in ("", was), "another holder", 40, step=0.2)
        broken.wait_made(place, *names)
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


def test_webhook_certificates_that_are_lost_are_made_anew_and_trusted(broken, lost):
    plane = broken.plane
    wait_until(lambda: plane.exists("secret", SECRET, "kserve"), "a new Secret", 90, step=0.3)

    def trusted():
        now = bundle(plane)
        made = plane.get("secret", SECRET, "-n", "kserve")["data"]["ca.crt"]
        return now != lost and base64.b64decode(made).strip() in base64.b64decode(now)

    wait_until(trusted, "the new authority in the webhooks", 30, step=0.3)
    place = broken.place("lost")

    # The server calls the webhooks again: without them no service can be created, or read in its other version.
    broken.create(place, "r")
    broken.wait_made(place, "r")
    old = plane.get("llminferenceservices.v1alpha1.serving.kserve.io", "r", "-n", place)
    assert old["apiVersion"] == "serving.kserve.io/v1alpha1" and old["spec"]["replicas"] == 1


def test_watches_whose_past_the_server_has_forgotten_start_anew(broken):
    """410: what the controller saw last is older than all that the API server remembers."""
    plane, place = broken.plane, broken.place("gone")
    command = broken.controller.part.command
    command.remove("--leader-elect")  # it would end with its lease, and list everything as one that starts
    broken.controller.restart()
    try:
        broken.create(place, "g")
        broken.wait_made(place, "g")
        broken.controller.settle()
        seen = plane.get("configmap", "kube-root-ca.crt", "-n", place)["metadata"]["resourceVersion"]
        lists, pid = broken.controller.requests()["list"], broken.controller.part.pid
        broken.relay.holds = True
        broken.relay.cut()
        plane.patch("llmisvc", "g", place, {"spec": {"replicas": 3}})
        plane.kubectl("delete", "deployment", "g-kserve-prefill", "-n", place)
        plane.restart("kube-apiserver")
        with pytest.raises(Refused, match="too old resource version"):
            plane.api.watch("configmap", place, seen)
        broken.relay.holds = False

        def converged():
            found = {item["metadata"]["name"]: item["spec"]["replicas"] for item in plane.get("deployments", "-n", place)["items"]}
            return found.get("g-kserve") == 3 and "g-kserve-prefill" in found

        wait_until(converged, "what changed meanwhile", 90, step=0.2)
        broken.wait_made(place, "g")
        broken.controller.settle()
        assert broken.controller.part.pid == pid
        assert broken.controller.requests()["list"] - lists > 10  # each kind that is followed
    finally:
        broken.relay.holds = False
        command.append("--leader-elect")
