#!/usr/bin/env python3
"""A burst of services on a real API server: what the controller writes, how long it takes, what it costs. One argument: how many.

The floor is measured last on the same server, by as many connections as the controller has workers: the same services, children and statuses
written once more in other namespaces, with the same webhooks, while somebody else leads. Deployments' own controller, which
writes 20 requests a second, runs only to report once; what the controller writes because of that is counted apart."""
import json
import os
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e/kube"))
from control_plane import ControlPlane  # noqa: E402
from controller import Controller  # noqa: E402
from part import wait_until  # noqa: E402

LEASE = "llminferenceservice-kserve-controller-manager"
WORKERS = 16
NAMESPACES = 10
SPEC = {
    "model": {"uri": "hf://org/model", "name": "m"}, "replicas": 1, "prefill": {"replicas": 1},
    "router": {"scheduler": {}, "route": {}, "gateway": {}}, "baseRefs": [{"name": "shared"}],
}


def round_of(number: int) -> dict:
    """Of the configuration that all services refer to: an annotation of every engine pod, on both sides."""
    annotations = {"annotations": {"example.org/round": str(number)}}
    return {**annotations, "prefill": annotations}


SHARED = {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig", "metadata": {"name": "shared", "namespace": "kserve"},
          "spec": round_of(1)}


def in_parallel(work):
    """Each of `work`, a list of calls one after the other, once, WORKERS of them at a time; the seconds it took."""
    left, lock = iter(work), threading.Lock()

    def run():
        while True:
            with lock:
                calls = next(left, None)
            if calls is None:
                return
            for call in calls:
                call()

    threads = [threading.Thread(target=run) for _ in range(WORKERS)]
    began = time.monotonic()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return time.monotonic() - began


def memory(controller):
    text = Path(f"/proc/{controller.part.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS:"))


def processor_time(plane, controller) -> dict:
    """CPU seconds so far, by program: unlike the clock it hardly minds who else is on the machine."""
    pids = {"bench": os.getpid(), "controller": controller.part.pid, **{name: plane.part(name).pid for name in ("etcd", "kube-apiserver")}}
    fields = {name: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for name, pid in pids.items()}
    return {name: (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") for name, words in fields.items()}


def spent(before: dict, after: dict) -> dict:
    each = {name: round(after[name] - before[name], 2) for name in after}
    return {**each, "all": round(sum(each.values()), 2)}


def cpu_of(figures):
    return figures["baton_controller_reconcile_cpu_seconds_total"], figures["baton_controller_reconcile_seconds_count"]


SERVICES = "llminferenceservices.v1alpha2.serving.kserve.io"
CHILDREN = (
    "secrets", "serviceaccounts", "roles", "rolebindings", "clusterrolebindings", "deployments.apps", "services",
    "inferencepools.inference.networking.k8s.io", "inferencepools.inference.networking.x-k8s.io", "httproutes",
)  # fmt: skip


def service(name: str, namespace: str, spec: dict) -> dict:
    return {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def create(plane, kind, item):
    return lambda: plane.api.request("POST", plane.api.path(kind, item["metadata"].get("namespace")), item)


def copy_of(kind: str, item: dict) -> dict:
    """As it was sent, for another namespace."""
    old = item["metadata"]
    new = {name: old[name] for name in ("name", "labels", "annotations", "ownerReferences") if name in old}
    if "namespace" in old:
        new["namespace"] = old["namespace"].replace("b", "f", 1)
    else:
        new["name"] = f"copy-{old['name']}"[:63]
    item = {**item, "metadata": new}
    item.pop("status", None)
    if kind == "services" and item["spec"].get("clusterIP") != "None":
        item["spec"] = {name: value for name, value in item["spec"].items() if name not in ("clusterIP", "clusterIPs")}
    return item


def written_again(plane, count: int) -> list:
    """What the controller was asked for and wrote, as calls for each service."""
    calls = {}
    for i in range(count):
        made = plane.get("llmisvc", f"s{i}", "-n", f"b{i % NAMESPACES}")
        place, name = f"f{i % NAMESPACES}", f"s{i}"
        patch = lambda change, *sub, place=place, name=name: lambda: plane.patch("llmisvc", name, place, change, *sub)  # noqa: E731
        calls[made["metadata"]["uid"]] = [
            create(plane, SERVICES, service(name, place, made["spec"])), patch({"status": made["status"]}, "status"),
        ]  # fmt: skip
    uids = {(f"b{i % NAMESPACES}", f"s{i}"): uid for i, uid in enumerate(calls)}
    for kind in CHILDREN:
        for item in plane.api.list(kind, selector="app.kubernetes.io/part-of=llminferenceservice"):
            owners = item["metadata"].get("ownerReferences")
            uid = owners[0]["uid"] if owners else uids[item["subjects"][0]["namespace"], item["metadata"]["labels"]["app.kubernetes.io/name"]]
            calls[uid].insert(-1, create(plane, kind, copy_of(kind, item)))
    return list(calls.values())


def stand_by(plane, controller):
    """From now on the controller serves its webhooks only."""
    controller.stop()
    held = {"holderIdentity": "bench", "leaseDurationSeconds": 86_400, "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    plane.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE, "namespace": "kserve"}, "spec": held})
    controller.part.command.append("--leader-elect")
    controller.start()


def burst(plane, controller, count: int) -> tuple[float, float]:
    """So many services are asked for, while no Deployment reports: the seconds it took to ask, and until all is written."""
    calls = [[create(plane, SERVICES, service(f"s{i}", f"b{i % NAMESPACES}", {**SPEC, "model": {"uri": "hf://org/model", "name": f"m{i}"}}))] for i in range(count)]
    began = time.monotonic()
    given = in_parallel(calls)
    return given, controller.settle(3600) - began


def events_in_all(controller) -> int:
    """Once there are no more: they trail."""
    last = None
    while last != (last := controller.requests()["event"]):
        time.sleep(1)
    return last


def requests_of_reports(plane, controller):
    """What is asked as the services' Deployments report, one after the other."""
    before = controller.requests()
    plane.part("kube-controller-manager").start()
    wait_until(lambda: all(one.get("status", {}).get("conditions") for one in plane.get("deployment", "-A")["items"]), "every Deployment's report", 3600, step=3)
    controller.settle(600)
    return controller.requests() - before


def no_op_passes(plane, controller) -> dict:
    """Every service changed in a way that changes nothing: whole passes that write nothing."""
    writes, (cpu, passes) = controller.writes(), cpu_of(controller.figures())
    for i in range(NAMESPACES):
        plane.kubectl("label", "llmisvc", "--all", "-n", f"b{i}", "touched=yes", seconds=600)
    controller.settle(600)
    cpu_after, passes_after = cpu_of(controller.figures())
    passes = passes_after - passes
    return {"no_op_passes": int(passes), "no_op_cpu_ms": round(1000 * (cpu_after - cpu) / max(1, passes), 3), "no_op_writes": controller.writes() - writes}


def fan_out(plane, controller) -> dict:
    """One configuration that all refer to changes: every engine Deployment gets its annotation."""
    before, began = controller.requests(), time.monotonic()
    plane.patch("llminferenceserviceconfig", "shared", "kserve", {"spec": round_of(2)})

    def reached():
        engines = plane.get("deployment", "-A", "-l", "kserve.io/component=workload")["items"]
        return all(one["spec"]["template"]["metadata"].get("annotations", {}).get("example.org/round") == "2" for one in engines)

    wait_until(reached, "the change in every Deployment", 900, step=0.5)
    took = time.monotonic() - began
    controller.settle(600)
    return {"fan_out_seconds": round(took, 2), "fan_out_requests": dict(controller.requests() - before)}


class Figures(dict):
    """Told as they come, too: a long run may be cut short."""

    def add(self, figures: dict):
        self.update(figures)
        print(json.dumps(figures), file=sys.stderr, flush=True)


def measure(plane, count):
    controller = Controller(plane, flags=["--workers", WORKERS])
    controller.install()
    controller.start()
    plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{which}{i}"}} for i in range(NAMESPACES) for which in "bf"])
    plane.apply(SHARED)
    plane.part("kube-controller-manager").stop()
    controller.settle(600)
    idle = memory(controller)

    load, before = os.getloadavg()[0], processor_time(plane, controller)
    passes = cpu_of(controller.figures())
    given, took = burst(plane, controller, count)
    busy = spent(before, processor_time(plane, controller))
    passes = [after - one for after, one in zip(cpu_of(controller.figures()), passes, strict=True)]
    requests, writes, full = controller.requests(), controller.writes(), memory(controller)
    objects = controller.figures()["baton_controller_cache_objects"]
    events = events_in_all(controller)
    again = written_again(plane, count)
    result = Figures()
    result.add({
        "services": count,
        "load_average": round(load, 1),
        "seconds_to_create_the_services": round(given, 2),
        "seconds": round(took, 2),
        "cpu_seconds": busy,
        "passes": int(passes[1]),
        "passes_cpu_seconds": round(passes[0], 2),
        "requests": dict(requests),
        "events_in_all": events,
        "writes_per_service": round(writes / count, 2),
        "memory_idle_mb": round(idle, 1),
        "memory_mb": round(full, 1),
        "cached_objects": int(objects),
        "kb_per_cached_object": round((full - idle) * 1024 / max(1, objects), 1),
    })  # fmt: skip
    result.add({"requests_as_deployments_report": dict(requests_of_reports(plane, controller))})
    plane.part("kube-controller-manager").stop()
    result.add(no_op_passes(plane, controller))
    result.add(fan_out(plane, controller))
    controller.restart()
    controller.settle(600)
    result.add({"restart_writes": controller.writes()})

    stand_by(plane, controller)
    load, before = os.getloadavg()[0], processor_time(plane, controller)
    floor = in_parallel(again)
    busy = spent(before, processor_time(plane, controller))
    result.add({
        "floor_load_average": round(load, 1),
        "floor_seconds": round(floor, 2),
        "floor_cpu_seconds": busy,
        "floor_writes": sum(len(calls) for calls in again),
        "ratio": round(took / floor, 2),
    })  # fmt: skip
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
