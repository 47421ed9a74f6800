"""From `kubectl apply` to tokens and back to nothing: controller, workload controllers, pods as processes, gateway."""
import itertools
import json
import os
import signal
from pathlib import Path

import pytest
from control_plane import ControlPlane
from load import Load
from part import NotReady, wait_until
from programs import ROOT, Stack, processes_of, ready_pods, wait_ready_pods

SEED = ROOT / "examples/seed"
PROMPT = "Write a story about a robot. " + "Take your time. " * 20


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """The whole of it, every model replaced by the stand-in; namespaces and gateway as the seed's manifests name them. On a control plane of
    its own: a node binds every pod that it sees."""
    folder = tmp_path_factory.mktemp("serving")
    with ControlPlane(folder / "plane") as plane:
        plane.install("gateway", "inference", "lws")
        yield from serve_on(plane, folder)


def serve_on(plane, folder):
    stack = Stack(plane, folder, "--stand-in", "storyteller")
    for name in ("llm-serving", "istio-system"):
        plane.kubectl("create", "namespace", name)
    plane.apply({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "my-gateway", "namespace": "istio-system"},
        "spec": {"gatewayClassName": "baton", "listeners": [{"name": "http", "protocol": "HTTP", "port": stack.port,
                                                             "allowedRoutes": {"namespaces": {"from": "All"}}}]},
    })  # fmt: skip
    stack.add_controller()
    with stack:
        yield stack


def condition(service: dict, kind: str) -> str:
    return next((c["status"] for c in service.get("status", {}).get("conditions", []) if c["type"] == kind), "")


def wait_ready(plane, name: str, namespace: str) -> dict:
    def ready():
        service = plane.get("llminferenceservice", name, "-n", namespace)
        fresh = service.get("status", {}).get("observedGeneration") == service["metadata"]["generation"]
        return service if fresh and condition(service, "Ready") == "True" else None

    try:
        return wait_until(ready, f"{namespace}/{name} Ready", 90, step=0.2)
    except NotReady as error:
        status = plane.get("llminferenceservice", name, "-n", namespace).get("status")
        raise NotReady(f"{error}\n{json.dumps(status, indent=1)}\n{troubles(plane, namespace)}") from None


def troubles(plane, namespace: str) -> str:
    """What pods that are not ready say of themselves."""
    out = []
    for pod in plane.get("pods", "-n", namespace)["items"]:
        status = pod["status"]
        containers = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
        states = {one["name"]: one.get("state") for one in containers if not one.get("ready")}
        if states or not containers:
            wrong = [c for c in status.get("conditions", []) if c["status"] != "True" and c.get("message")]
            out.append(json.dumps({"pod": pod["metadata"]["name"], "states": states, "conditions": wrong}))
    return "\n".join(out)


def children(plane, namespace: str) -> list[str]:
    """All objects of the namespace that are not the namespace's own."""
    kinds = "deployments,replicasets,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,inferencepools,httproutes"
    items = plane.get(kinds, "-n", namespace)["items"]
    own = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
    return [f"{item['kind']} {item['metadata']['name']}" for item in items if (item["kind"], item["metadata"]["name"]) not in own]


def test_a_seed_manifest_serves_scales_changes_and_leaves_nothing(serving):
    plane, namespace, name = serving.plane, "llm-serving", "llama2-7b-disaggregated"
    workload = f"app.kubernetes.io/name={name},kserve.io/component=workload"
    prefill, decode = f"{workload},llm-d.ai/role=prefill", f"{workload},llm-d.ai/role=decode"

    plane.kubectl("apply", "-f", SEED / "example1-llama2-7b-disaggregated.yaml")
    service = wait_ready(plane, name, namespace)
    wait_ready_pods(plane, namespace, 2, prefill)
    wait_ready_pods(plane, namespace, 4, decode)

    # What a person sees.
    line = plane.kubectl("get", "llmisvc", "-n", namespace, "--no-headers").split()
    url = service["status"]["url"]
    assert line[:3] == [name, url, "True"], line
    # Ready is what `baton node` writes in the gateway's name; the gateway may learn of the service a moment later.
    wait_until(lambda: serving.chat("llama2-7b", "hi", url=f"{url}/v1")[0] == 200, "the service known to the gateway", step=0.1)
    status, headers, body = serving.chat("llama2-7b", PROMPT, url=f"{url}/v1")
    assert status == 200, body
    assert body["choices"][0]["message"]["content"]
    assert int(headers["x-baton-remote-tokens"]) > 0  # the prompt was computed by a prefill pod

    # Each side scales without the other.
    plane.kubectl("patch", "llmisvc", name, "-n", namespace, "--type=merge", "-p", json.dumps({"spec": {"replicas": 2}}))
    wait_ready_pods(plane, namespace, 2, decode)
    wait_ready_pods(plane, namespace, 2, prefill)
    plane.kubectl("patch", "llmisvc", name, "-n", namespace, "--type=merge", "-p", json.dumps({"spec": {"prefill": {"replicas": 1}}}))
    wait_ready_pods(plane, namespace, 1, prefill)
    before = {pod["metadata"]["name"] for pod in wait_ready_pods(plane, namespace, 2, decode)}

    # An update rolls the decode pods while clients chat: no stream is cut, no token another.
    change = [{"op": "add", "path": "/spec/template/containers/0/env", "value": [{"name": "CHANGED", "value": "yes"}]}]
    with Load(f"{url}/v1", "llama2-7b", PROMPT) as load:
        plane.kubectl("patch", "llmisvc", name, "-n", namespace, "--type=json", "-p", json.dumps(change))
        wait_until(lambda: before.isdisjoint(pod["metadata"]["name"] for pod in wait_ready_pods(plane, namespace, 2, decode)), "new decode pods", 120)
        wait_ready(plane, name, namespace)
        answers = load.answers
        wait_until(lambda: load.answers > answers + 10, "answers of the new pods", 60)
    assert load.failures == [] and answers > 0

    # Deleted, nothing is left: no object, no process.
    plane.kubectl("delete", "llmisvc", name, "-n", namespace)
    wait_until(lambda: not children(plane, namespace), "no children", 60, step=0.2)
    assert processes_of(serving.folder / "node" / "pods" / namespace) == []

    def unknown():
        status, _, body = serving.chat("llama2-7b", PROMPT)
        return status == 404 or (status == 503 and "no service is known" in body)

    wait_until(unknown, "the model unknown to the gateway")


def test_seed_example_3_serves_with_a_real_group_of_two_pods(serving):
    """The prefill side is a LeaderWorkerSet: its own controller makes the pods, `baton node` runs them."""
    plane, namespace, name = serving.plane, "multi-node", "llama2-70b-multinode-pd"
    plane.kubectl("create", "namespace", namespace)
    plane.wait_for("serviceaccount", "default", namespace)
    plane.start_lws()
    plane.kubectl("apply", "-n", namespace, "-f", SEED / "example3-llama2-70b-multinode-pd.yaml")
    group = f"{name}-kserve-mn-prefill-0"
    in_group = f"leaderworkerset.sigs.k8s.io/name={name}-kserve-mn-prefill"
    pods = {pod["metadata"]["name"] for pod in wait_ready_pods(plane, namespace, 2, in_group, 120)}
    assert pods == {group, f"{group}-1"}
    leader = plane.get("pod", group, "-n", namespace)["spec"]["containers"][0]
    variables = {entry["name"]: entry.get("value") for entry in leader["env"]}
    assert variables["LWS_LEADER_ADDRESS"] == f"{group}.{name}-kserve-mn-prefill.{namespace}" and variables["LWS_GROUP_SIZE"] == "2"
    wait_ready_pods(plane, namespace, 8, f"app.kubernetes.io/name={name},llm-d.ai/role=decode", 120)
    service = wait_ready(plane, name, namespace)
    assert service["status"]["workloads"]["prefill"]["kind"] == "LeaderWorkerSet"

    prompts = (f"Story {number}. {PROMPT}" for number in itertools.count())  # none that a decode pod has seen

    def told():
        status, headers, body = serving.chat("llama2-70b", next(prompts))
        return status == 200 and body["choices"][0]["message"]["content"] and int(headers["x-baton-remote-tokens"]) > 0

    wait_until(told, "an answer whose prompt the group computed", 30, step=0.2)

    # A process of the group dies: the whole group is made anew, and serves.
    def members() -> dict:
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in ready_pods(plane, namespace, in_group)}

    before = members()
    folder = serving.folder / "node" / "pods" / f"{namespace}_{group}-1"
    workers = lambda: [one for one in processes_of(folder) if "--headless" in Path(f"/proc/{one}/cmdline").read_text().split("\0")]  # noqa: E731
    (worker,) = wait_until(workers, "the worker's engine", 30)
    os.kill(worker, signal.SIGKILL)

    def anew():
        now = members()
        return now.keys() == before.keys() and not set(now.values()) & set(before.values())

    wait_until(anew, "another group", 120, step=0.2)
    wait_until(told, "an answer whose prompt the other group computed", 60, step=0.2)
    wait_ready(plane, name, namespace)

    plane.kubectl("delete", "llmisvc", name, "-n", namespace)
    wait_until(lambda: not children(plane, namespace), "no children", 90, step=0.3)
    assert plane.get("leaderworkersets,statefulsets", "-n", namespace)["items"] == []
