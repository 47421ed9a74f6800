"""`baton epp` on a real API server: which pods are its endpoints, who of several leads, who may read its metrics."""
import re
import signal
import urllib.error
import urllib.request

import grpc
import pytest
from part import free_port, wait_until
from programs import program

NAME = "epp-pool"


class Picker:
    """One replica. `name` is its pod's."""

    def __init__(self, plane, folder, namespace, name, *flags, auth="false"):
        self.grpc, self.health, self.metrics_port = free_port(), free_port(), free_port()
        self.part = program(name, [
            "epp", f"--kubeconfig={plane.admin}", f"--pool-name={NAME}", f"--pool-namespace={namespace}", f"--grpc-port={self.grpc}",
            f"--grpc-health-port={self.health}", f"--metrics-port={self.metrics_port}", f"--metrics-endpoint-auth={auth}",
            "--refresh-prometheus-metrics-interval=50ms", "--drain-timeout=60s", *flags,
        ], folder, POD_NAME=name)  # fmt: skip

    def __enter__(self):
        self.part.start()
        return self

    def __exit__(self, *_):
        self.part.kill()

    def serves(self, service="") -> bool:
        """What the health port says to a probe."""
        with grpc.insecure_channel(f"127.0.0.1:{self.health}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check", lambda b: b, lambda b: b)
            return check((b"\n" + bytes([len(service)]) + service.encode()) if service else b"", timeout=20) == b"\x08\x01"

    def scrape(self, token=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.metrics_port}/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()

    def endpoints(self) -> set[str]:
        """By the label of the queue sizes: what it may send requests to."""
        return set(re.findall(r'^llm_d_epp_per_endpoint_queue_size\{.*model_server_endpoint="([^"]+)"', self.scrape()[1], re.M))

    def becomes(self, *endpoints):
        wait_until(lambda: self.endpoints() == set(endpoints), f"the endpoints {endpoints}, not {self.endpoints()}")


def pool(namespace, ports=(8000,), labels=None):
    return {"apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool", "metadata": {"name": NAME, "namespace": namespace},
            "spec": {"selector": {"matchLabels": labels or {"app": "engine"}}, "targetPorts": [{"number": port} for port in ports],
                     "endpointPickerRef": {"name": "picker", "port": {"number": 9002}}}}  # fmt: skip


def pod(plane, namespace, name, address, ready="True", annotations=None, labels=None):
    """A pod as a kubelet would report it; nothing runs, and no node may take it."""
    plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": "engine"}, "annotations": annotations or {}},
                 "spec": {"schedulerName": "nobody", "containers": [{"name": "main", "image": "none"}]}})  # fmt: skip
    status(plane, namespace, name, address, ready)


def status(plane, namespace, name, address, ready="True"):
    plane.patch("pods", name, namespace, {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                                                     "conditions": [{"type": "Ready", "status": ready}]}}, "status")  # fmt: skip


def test_the_endpoints_follow_pods_and_pool(plane, namespace, tmp_path):  # epp:L001 epp:L002 epp:L003
    plane.apply(pool(namespace))
    pod(plane, namespace, "a", "127.0.0.1")
    pod(plane, namespace, "late", "127.0.0.2", ready="False")
    pod(plane, namespace, "other", "127.0.0.3", labels={"app": "other"})
    with Picker(plane, tmp_path, namespace, "p") as picker:
        picker.becomes("a-rank-0")
        assert picker.serves()
        status(plane, namespace, "late", "127.0.0.2")
        picker.becomes("a-rank-0", "late-rank-0")
        status(plane, namespace, "a", "127.0.0.1", ready="False")
        picker.becomes("late-rank-0")
        status(plane, namespace, "a", "127.0.0.1")
        plane.kubectl("delete", "pod", "late", "-n", namespace, "--force", "--grace-period=0")
        picker.becomes("a-rank-0")

        # Ports: one endpoint each; those of an annotation only, where there is one.
        plane.apply(pool(namespace, (8000, 8001, 8002)))
        picker.becomes("a-rank-0", "a-rank-1", "a-rank-2")
        for ports, left in (("8002,8000", {"a-rank-0", "a-rank-2"}), ("", set()), (None, {"a-rank-0", "a-rank-1", "a-rank-2"})):
            plane.patch("pods", "a", namespace, {"metadata": {"annotations": {"llm-d.ai/active-ports": ports}}})
            picker.becomes(*left)
        plane.apply(pool(namespace, (8000,)))
        picker.becomes("a-rank-0")

        plane.apply(pool(namespace, labels={"app": "other"}))
        picker.becomes("other-rank-0")
        plane.kubectl("delete", "inferencepool", NAME, "-n", namespace)
        picker.becomes()
        wait_until(lambda: not picker.serves(), "not ready without a pool")


def lease(plane, namespace):
    return plane.get("leases", f"epp-{namespace}-{NAME}.llm-d.ai", "-n", namespace)["spec"].get("holderIdentity", "")


def test_one_of_several_leads_and_another_takes_over(plane, namespace, tmp_path):  # epp:C015
    plane.apply(pool(namespace))
    pod(plane, namespace, "a", "127.0.0.1")
    pickers = [Picker(plane, tmp_path, namespace, f"p{i}", "--ha-enable-leader-election") for i in range(3)]
    with pickers[0] as first, pickers[1] as second:
        wait_until(lambda: first.serves() != second.serves(), "one that is ready")
        leader, other = (first, second) if first.serves() else (second, first)
        assert lease(plane, namespace).startswith("p0_" if leader is first else "p1_")
        # The other one is alive, and knows the pods: it can take over at once.
        assert leader.serves("liveness") and other.serves("liveness")
        other.becomes("a-rank-0")

        # Told to stop, the leader gives the lease back and serves on while it drains.
        leader.part.process.send_signal(signal.SIGTERM)
        wait_until(other.serves, "the other to lead", 8)
        assert leader.part.is_running() and not leader.serves()

        # Killed, it is missed when its lease has run out.
        leader.part.kill()
        with pickers[2] as third:
            assert not third.serves()
            other.part.kill()
            wait_until(third.serves, "the third to lead", 40)


@pytest.fixture
def scraper(plane, namespace):
    """Tokens of an account that may read metrics, and of one that may not."""
    for name in ("scraper", "stranger"):
        plane.kubectl("create", "serviceaccount", name, "-n", namespace)
    plane.apply([
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": namespace},
         "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": namespace},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
         "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": namespace}]},
    ])  # fmt: skip
    yield [plane.kubectl("create", "token", name, "-n", namespace).strip() for name in ("scraper", "stranger")]
    plane.kubectl("delete", "clusterrolebinding,clusterrole", namespace)


def test_the_api_server_says_who_may_read_metrics(plane, namespace, scraper, tmp_path):
    plane.apply(pool(namespace))
    may, may_not = scraper
    with Picker(plane, tmp_path, namespace, "p", auth="true") as picker:
        assert picker.scrape()[0] == 401
        assert picker.scrape("no-token-of-anybody")[0] == 401
        code, text = picker.scrape(may_not)
        assert code == 403 and "stranger may not get /metrics" in text
        wait_until(lambda: picker.scrape(may)[0] == 200, "the rights to be known")
        assert "llm_d_epp_ready_endpoints" in picker.scrape(may)[1]
        assert may not in picker.part.tail(1000)
