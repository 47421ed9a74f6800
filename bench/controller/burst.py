#!/usr/bin/env python3
"""A burst of services on a real API server: what the controller writes, how long it takes, what it costs. One argument: how many.

The floor is measured beside it on the same server, by as many connections as the controller has workers: the children it made once more
under other names, and a ConfigMap for each of its other writes. Deployments' own controller, which writes 20 requests a second, is
stopped meanwhile; what the controller writes once it reports is counted apart."""
import http.client
import json
import os
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e/kube"))
from control_plane import ControlPlane  # noqa: E402
from controller import Controller  # noqa: E402
from part import wait_until  # noqa: E402

WORKERS = 16
NAMESPACES = 10
SPEC = {
    "model": {"uri": "hf://org/model", "name": "m"}, "replicas": 1, "prefill": {"replicas": 1},
    "router": {"scheduler": {}, "route": {}, "gateway": {}}, "baseRefs": [{"name": "shared"}],
}
SHARED = {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig", "metadata": {"name": "shared", "namespace": "kserve"},
          "spec": {"annotations": {"example.org/round": "1"}}}


class Api:
    """One kept connection with the admin's certificate or token, as its kubeconfig says."""

    def __init__(self, plane):
        config = json.loads(plane.kubectl("config", "view", "--raw", "-o", "json"))
        self.server = urlsplit(config["clusters"][0]["cluster"]["server"])
        self.token = config["users"][0]["user"]["token"]
        self.connection = http.client.HTTPSConnection(self.server.hostname, self.server.port, context=ssl._create_unverified_context())

    def post(self, path, item):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self.connection.request("POST", path, json.dumps(item), headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 201):
            raise SystemExit(f"{path}: {answer.status} {body[:300]}")


def in_parallel(plane, work):
    """Each of `work` (path, item) once, over WORKERS connections; the seconds it took."""
    left, lock = iter(work), threading.Lock()

    def run():
        api = Api(plane)
        while True:
            with lock:
                one = next(left, None)
            if one is None:
                return
            api.post(*one)

    threads = [threading.Thread(target=run) for _ in range(WORKERS)]
    began = time.monotonic()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return time.monotonic() - began


def memory(controller):
    text = Path(f"/proc/{controller.part.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS:"))


def cpu_of(figures):
    return figures["baton_controller_reconcile_cpu_seconds_total"], figures["baton_controller_reconcile_seconds_count"]


CHILDREN = (
    "serviceaccounts", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io", "deployments.apps", "services", "inferencepools.inference.networking.k8s.io",
    "inferencepools.inference.networking.x-k8s.io", "httproutes.gateway.networking.k8s.io",
)  # fmt: skip


def copies(plane):
    """The children as new objects in other namespaces, to be written again."""
    for resource in CHILDREN:
        for item in plane.get(resource, "-A", "-l", "app.kubernetes.io/part-of=llminferenceservice")["items"]:
            old = item["metadata"]
            new = {"name": f"copy-{old['name']}"[:63], "labels": {"copied": "yes"}}
            path = "/api/v1" if item["apiVersion"] == "v1" else f"/apis/{item['apiVersion']}"
            if "namespace" in old:
                new["namespace"] = old["namespace"].replace("b", "f", 1)
                path += f"/namespaces/{new['namespace']}"
            item.pop("status", None)
            for member in ("clusterIP", "clusterIPs"):
                if resource == "services" and item["spec"].get(member) not in ("None", ["None"]):
                    item["spec"].pop(member, None)
            yield f"{path}/{resource.split('.')[0]}", {**item, "metadata": new}


def measure(plane, count):
    controller = Controller(plane, flags=["--workers", WORKERS])
    controller.install()
    controller.start()
    for i in range(NAMESPACES):
        plane.kubectl("create", "namespace", f"b{i}")
        plane.kubectl("create", "namespace", f"f{i}")
    plane.apply(SHARED)
    plane.part("kube-controller-manager").stop()
    controller.settle(600)
    idle = memory(controller)

    path = "/apis/serving.kserve.io/v1alpha2/namespaces/b{}/llminferenceservices"
    work = [
        (path.format(i % NAMESPACES), {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
                                       "metadata": {"name": f"s{i}"}, "spec": {**SPEC, "model": {"uri": "hf://org/model", "name": f"m{i}"}}})
        for i in range(count)
    ]
    load = os.getloadavg()[0]
    began = time.monotonic()
    in_parallel(plane, work)
    given = time.monotonic() - began
    controller.settle(3600)
    took = time.monotonic() - began - 0.8  # settle() looks for 0.8 s
    requests = controller.requests()
    writes = controller.writes()
    full = memory(controller)
    objects = controller.figures()["baton_controller_cache_objects"]

    # Events trail; the floor is not measured beside them.
    last = None
    while last != (last := controller.requests()["event"]):
        time.sleep(1)
    events = last

    # The floor.
    again = list(copies(plane))
    item = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": "x" * 1000}}
    maps = [("/api/v1/namespaces/default/configmaps", {**item, "metadata": {"name": f"c{i}"}}) for i in range(max(0, writes + count - len(again)))]
    floor = in_parallel(plane, again + maps)

    print(f"{count} services in {took:.1f} s, the server alone {floor:.1f} s, load average {load:.1f}", file=sys.stderr, flush=True)

    # Deployments report: those of the services.
    for i in range(NAMESPACES):
        plane.kubectl("delete", "deployments", "--all", "-n", f"f{i}", "--wait=false", seconds=600)
    reports = controller.requests()
    plane.part("kube-controller-manager").start()
    wait_until(lambda: all(one.get("status", {}).get("conditions") for one in plane.get("deployment", "-A")["items"]), "every Deployment's report", 3600, step=3)
    controller.settle(600)
    reports = controller.requests() - reports

    # Every service changed in a way that changes nothing: whole passes that write nothing.
    before, at = controller.writes(), cpu_of(controller.figures())
    for i in range(NAMESPACES):
        plane.kubectl("label", "llmisvc", "--all", "-n", f"b{i}", "touched=yes", seconds=600)
    controller.settle(600)
    after = cpu_of(controller.figures())
    no_op_writes = controller.writes() - before

    # One configuration that all refer to changes: every engine Deployment gets its annotation.
    fan_out, began = controller.requests(), time.monotonic()
    plane.patch("llminferenceserviceconfig", "shared", "kserve", {"spec": {"annotations": {"example.org/round": "2"}}})

    def reached():
        engines = plane.get("deployment", "-A", "-l", "kserve.io/component=workload")["items"]
        return all(one["spec"]["template"]["metadata"].get("annotations", {}).get("example.org/round") == "2" for one in engines)

    wait_until(reached, "the change in every Deployment", 3600, step=0.5)
    fanned_out = time.monotonic() - began
    controller.settle(600)
    fan_out = controller.requests() - fan_out

    result = {
        "services": count,
        "load_average": round(load, 1),
        "seconds_to_create_the_services": round(given, 2),
        "seconds": round(took, 2),
        "floor_seconds": round(floor, 2),
        "ratio": round(took / floor, 2),
        "floor_writes": len(again) + len(maps),
        "requests": dict(requests),
        "events_in_all": events,
        "requests_as_deployments_report": dict(reports),
        "writes_per_service": round(writes / count, 2),
        "no_op_passes": int(after[1] - at[1]),
        "no_op_cpu_ms": round(1000 * (after[0] - at[0]) / max(1, after[1] - at[1]), 3),
        "no_op_writes": no_op_writes,
        "fan_out_seconds": round(fanned_out, 2),
        "fan_out_requests": dict(fan_out),
        "memory_idle_mb": round(idle, 1),
        "memory_mb": round(full, 1),
        "cached_objects": int(objects),
        "kb_per_cached_object": round((full - idle) * 1024 / max(1, objects), 1),
    }
    controller.restart()
    controller.settle(600)
    result["restart_writes"] = controller.writes()
    controller.stop()
    return result


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder)) as plane:
        result = measure(plane, count)
    print(json.dumps(result, indent=2))
    out = ROOT / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / f"controller-{count}.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
