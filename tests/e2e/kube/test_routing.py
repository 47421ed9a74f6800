"""A cluster as it is meant to be: a gateway that is not ours (Envoy) follows the routes, pickers run in pods of their own with the rights of
their accounts, and requests find prefill and decode through them."""

import json
import os
import signal
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from control_plane import ControlPlane
from controller import GATEWAY
from envoy_gateway import EnvoyGateway
from identities import ADMIN_TOKEN
from load import Load
from part import wait_until
from programs import ROOT, Stack, processes_of, ready_pods, wait_ready_pods
from test_serving import wait_ready

sys.path.insert(0, str(ROOT / "tests/integration"))
from otlp_collector import Collector  # noqa: E402
from stack import metric  # noqa: E402

ROUTED = {"gateway": {}, "route": {}, "scheduler": {}}
HEADER = "X-Gateway-Model-Name"
STORY = "Write a story about a robot. " + "Take your time. " * 20


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("routed")
    with ControlPlane(folder / "plane") as plane:
        plane.install("gateway", "inference", "lws")
        with behind_envoy(plane, folder) as stack:
            yield stack


def behind_envoy(plane, folder) -> Stack:
    front = EnvoyGateway(plane, folder / "envoy")
    stack = Stack(plane, folder, "--stand-in", "storyteller", "--allow-exec", "--run-pickers", "--pre-stop-least", 3, front=front)
    stack.add_controller()
    plane.apply(GATEWAY)
    return stack


@pytest.fixture
def here(routed, request):
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    routed.plane.kubectl("create", "namespace", name)
    routed.plane.wait_for("serviceaccount", "default", name)
    yield Namespace(routed, name)
    routed.plane.kubectl("delete", "llmisvc", "--all", "-n", name, "--wait=true")
    routed.plane.kubectl("delete", "namespace", name, "--wait=false")


class Namespace:
    """Services of one namespace, and their pods as their metrics tell of them."""

    def __init__(self, stack, name):
        self.stack, self.plane, self.front, self.name = stack, stack.plane, stack.gateway, name

    def put(self, name: str, *, version="v1alpha2", **spec):
        spec = {"model": {"uri": "hf://org/model", "name": "storyteller"}, "replicas": 1, "router": ROUTED, **spec}
        self.plane.kubectl("apply", "-n", self.name, "-f", "-", input=json.dumps(
            {"apiVersion": f"serving.kserve.io/{version}", "kind": "LLMInferenceService", "metadata": {"name": name}, "spec": spec}))  # fmt: skip

    def patch(self, name: str, spec: dict):
        self.plane.patch("llmisvc", name, self.name, {"spec": spec})

    def ready(self, name: str) -> dict:
        return wait_ready(self.plane, name, self.name)

    def engines(self, service: str) -> list[dict]:
        return ready_pods(self.plane, self.name, f"app.kubernetes.io/name={service},kserve.io/component=workload")

    def pickers(self, service: str) -> list[dict]:
        """All that run, also those that do not lead."""
        pods = self.plane.get("pods", "-n", self.name, "-l", f"app.kubernetes.io/name={service},{PICKER}")["items"]
        return [pod for pod in pods if pod["status"].get("podIP") and "deletionTimestamp" not in pod["metadata"]]

    def placed(self, service: str, **labels) -> float:
        """Requests that the service's pickers have placed."""
        return sum(metric(metrics_of(pod, 9090), "llm_d_epp_request_total", **labels) or 0 for pod in self.pickers(service))

    def wait_placed(self, service: str, path: str, body: dict, headers: dict | None = None, saying: str = ""):
        """Until a request is answered and the picker has placed one for its model: while Envoy knows no picker, requests pass it by."""

        def placed():
            got = self.front.wait_served(path, body, headers, saying=saying)
            return got if self.placed(service, target_model_name=body["model"]) > 0 else None

        return wait_until(placed, f"a request that the picker of {service} placed", 60, step=0.2)

    def generated(self, service: str) -> float:
        """Requests that the service's engines have answered whole; prefill and decode each count."""
        return sum(metric(metrics_of(pod, 8000), "vllm:request_success_total") or 0 for pod in self.engines(service))


PICKER = "app.kubernetes.io/component=llminferenceservice-router-scheduler"


def metrics_of(pod: dict, port: int) -> str:
    """As somebody who may: pickers ask the API server."""
    request = urllib.request.Request(f"http://{pod['status']['podIP']}:{port}/metrics", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""  # it has gone, or has not begun


def chat(model: str, text: str = "hi", **more) -> dict:
    return {"model": model, "max_tokens": 8, "temperature": 0, "messages": [{"role": "user", "content": text}], **more}


def echo_template(model: str) -> dict:
    """Pods that tell what they were asked, in place of an engine. The program is text: a pod's volumes may cover this checkout. It is no part of
    the command, in which the planner looks for flags."""
    env = [{"name": "MODEL", "value": model}, {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
           {"name": "PROGRAM", "value": (Path(__file__).parent / "echo_engine.py").read_text()}]  # fmt: skip
    command = ["/usr/bin/python3", "-c", "import os; exec(os.environ['PROGRAM'])"]
    return {"containers": [{"name": "main", "image": "echo", "env": env, "command": command}]}


def test_a_model_and_its_adapter_are_found_by_header_and_all_models_by_the_catch_all(here):  # llmisvc:J17
    (here.stack.folder / "node/pvc/adapters/sql").mkdir(parents=True)  # the claim's volume
    here.put("adapted", model={"uri": "hf://org/base", "name": "base", "lora": {"adapters": [{"name": "sql", "uri": "pvc://adapters/sql"}]}},
             template=echo_template("base"), annotations={"serving.kserve.io/model-based-routing-enabled": "true"})  # fmt: skip
    here.ready("adapted")
    (pod,) = wait_ready_pods(here.plane, here.name, 1, "app.kubernetes.io/name=adapted,kserve.io/component=workload")
    path = "/v1/chat/completions"
    for model in ("base", "sql"):
        header = {HEADER: f"publishers/{here.name}/models/{model}"}
        _, _, told = here.wait_placed("adapted", path, chat(model), header)
        assert (told["pod"], told["path"], told["model"]) == (pod["metadata"]["name"], path, model)
    status, _, _ = here.front.ask("POST", path, chat("other"), {HEADER: f"publishers/{here.name}/models/other"})
    assert status == 404
    assert here.front.ask("POST", path, chat("base"))[0] == 404  # no header, no service

    # Whatever is no inference goes to a pod past the picker.
    placed = here.placed("adapted")
    for catch_all, header in ((f"/{here.name}/adapted/v1/models", {}), ("/v1/models", {HEADER: f"publishers/{here.name}/models/base"})):
        status, _, told = here.front.ask("GET", catch_all, headers=header)
        assert status == 200, told
        assert {"base", "sql"} <= {entry["id"] for entry in told["data"]}
    assert here.placed("adapted") == placed


def tell(pod: dict, what: str):
    """An echo engine."""
    request = urllib.request.Request(f"http://{pod['status']['podIP']}:8000/{what}", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def test_a_route_of_ones_own_behind_a_gateway_of_ones_own_leads_to_the_pool_with_its_timeouts(here):  # llmisvc:J14
    here.plane.apply({**GATEWAY, "metadata": {"name": "own", "namespace": here.name}})
    pool = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "tales-inference-pool", "port": 8000}
    cut = {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}
    rules = [{"matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}], "filters": [cut], "timeouts": {"request": limit}, "backendRefs": [pool]}
             for name, limit in (("patient", "300s"), ("hasty", "1s"))]  # fmt: skip
    here.put("tales", template=echo_template("storyteller"),
             router={"gateway": {"refs": [{"name": "own"}]}, "route": {"http": {"spec": {"rules": rules}}}, "scheduler": {}})  # fmt: skip
    service = here.ready("tales")
    assert service["status"]["router"]["gateways"][0]["name"] == "own"
    (pod,) = here.engines("tales")
    path = "/v1/chat/completions"
    _, _, told = here.wait_placed("tales", f"/patient{path}", chat("storyteller"))
    assert (told["pod"], told["path"]) == (pod["metadata"]["name"], path)

    tell(pod, "holding/1")
    waits = []
    client = threading.Thread(target=lambda: waits.append(here.front.ask("POST", f"/patient{path}", chat("storyteller"), seconds=300)))
    client.start()
    try:
        assert here.front.ask("POST", f"/hasty{path}", chat("storyteller"))[0] == 504
        assert waits == []
    finally:
        tell(pod, "holding/0")
        client.join()
    assert waits[0][0] == 200
    assert here.front.ask("POST", f"/{here.name}/tales{path}", chat("storyteller"))[0] == 404  # no rule of ours beside them


FLOW = {
    "apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig", "featureGates": ["flowControl"],
    "plugins": [{"type": "queue-scorer"}, {"type": "utilization-detector", "parameters": {"queueDepthThreshold": 5}}],
    "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "queue-scorer"}]}],
    "flowControl": {"saturationDetector": {"pluginRef": "utilization-detector"}, "defaultRequestTTL": "60s"},
}  # fmt: skip


def test_requests_wait_at_the_picker_while_every_pod_is_full(here):  # llmisvc:J17
    here.put("full", template=echo_template("storyteller"), router={**ROUTED, "scheduler": {"config": {"inline": FLOW}}})
    here.ready("full")
    path = f"/{here.name}/full/v1/chat/completions"
    here.wait_placed("full", path, chat("storyteller"))
    (pod,) = here.engines("full")
    queue = lambda: sum(metric(metrics_of(one, 9090), "llm_d_epp_flow_control_queue_size") or 0 for one in here.pickers("full"))  # noqa: E731
    full = lambda: max(metric(metrics_of(one, 9090), "llm_d_epp_flow_control_pool_saturation", stage="effective") or 0 for one in here.pickers("full"))  # noqa: E731

    waiting = lambda count: tell(pod, f"waiting/{count}")  # noqa: E731
    waiting(50)
    wait_until(lambda: full() >= 1, "the pool full", step=0.1)
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(here.front.ask("POST", path, chat("storyteller"), seconds=120))) for _ in range(3)]
    [client.start() for client in clients]
    try:
        try:
            wait_until(lambda: queue() == 3, "three requests in the queue", step=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; full {full()}, queue {queue()}, {answers}") from None
        assert answers == []
    finally:
        waiting(0)
        [client.join() for client in clients]
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert queue() == 0


def test_one_trace_spans_picker_sidecar_and_both_engines(here):  # llmisvc:J17
    with Collector("grpc") as collector:
        here.put("traced", prefill={"replicas": 1}, tracing={"exporterEndpoint": collector.url, "sampler": "parentbased_always_on"})
        here.ready("traced")
        path = f"/{here.name}/traced/v1/chat/completions"
        here.wait_placed("traced", path, chat("storyteller"), saying="x-baton-prefill")  # a sidecar's
        trace = os.urandom(16).hex()
        status, headers, _ = here.front.ask("POST", path, chat("storyteller", STORY), {"traceparent": f"00-{trace}-{os.urandom(8).hex()}-01"})
        assert status == 200

        def whole():
            """One tree of spans, with the picker's at its root; a span is exported before its parent, which ends later."""
            found = collector.spans(trace)
            ids = {span.span for span in found}
            roots = [span.service for span in found if span.parent not in ids]
            services = {span.service for span in found}
            return roots == ["inference-scheduler"] and {"inference-server-prefill", "inference-server-decode"} <= services

        try:
            wait_until(whole, "one trace", step=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {[(span.service, span.name, span.parent) for span in collector.spans(trace)]}") from None


def leader_of(here, service: str) -> dict:
    """The picker that is ready: who does not lead is not."""
    found = wait_until(lambda: ready_pods(here.plane, here.name, f"app.kubernetes.io/name={service},{PICKER}"), "a picker that leads")
    assert len(found) == 1, [pod["metadata"]["name"] for pod in found]
    return found[0]


def holder(here) -> str:
    """The process that holds the picker's lease."""
    (lease,) = here.plane.get("lease", "-n", here.name)["items"]
    return lease["spec"].get("holderIdentity", "")


def test_an_upgrade_under_load_and_a_picker_that_dies_cost_no_request(here):  # llmisvc:J15
    name = "steady"
    here.put(name, replicas=2, prefill={"replicas": 1}, router={**ROUTED, "scheduler": {"replicas": 2}})
    here.ready(name)
    engine = here.plane.get("deployment", f"{name}-kserve", "-n", here.name)["spec"]["template"]["spec"]["containers"][0]
    assert engine["lifecycle"]["preStop"] == {"exec": {"command": ["/bin/sleep", "15"]}}
    url = f"{here.front.url}/{here.name}/{name}/v1"
    here.wait_placed(name, f"/{here.name}/{name}/v1/chat/completions", chat("storyteller"), saying="x-baton-prefill")
    before = {pod["metadata"]["name"] for pod in here.engines(name)}
    with Load(url, "storyteller", STORY) as load:
        # Every engine pod is replaced, on both sides.
        env = [{"name": "UPGRADED", "value": "yes"}]
        template = {"containers": [{"name": "main", "env": env}]}
        here.patch(name, {"template": template, "prefill": {"replicas": 1, "template": template}})
        wait_until(lambda: len(after := here.engines(name)) == 3 and before.isdisjoint(pod["metadata"]["name"] for pod in after), "new engines", 120)
        answers = load.answers
        wait_until(lambda: load.answers > answers + 10, "answers of the new pods", 60)

        # The picker that leads dies: meanwhile the gateway chooses a pod itself, then the other picker leads, or the one that was started
        # in its place.
        leader, was = leader_of(here, name), holder(here)
        folder = here.stack.folder / "node" / "pods" / f"{here.name}_{leader['metadata']['name']}"
        (process,) = processes_of(folder)
        os.kill(process, signal.SIGKILL)
        placed = lambda: metric(metrics_of(leader_of(here, name), 9090), "llm_d_epp_request_total") or 0  # noqa: E731
        wait_until(lambda: holder(here) not in ("", was), "another picker leads", 60, step=0.2)
        wait_until(lambda: placed() > 10, "requests that it placed", 60, step=0.2)
    assert load.failures == [] and load.answers > answers + 10


def test_a_canary_gets_traffic_by_weight_until_it_is_alone(here):  # llmisvc:J16
    def group(weight: int) -> dict:
        return {**ROUTED, "route": {"group": "story", "weight": weight}}

    def shared(**wanted):
        """Once every route of the group has these weights, and all of it is ready."""
        for name, weight in wanted.items():
            here.patch(name, {"router": {"route": {"weight": weight}}})
        pools = {f"{name}-inference-pool": weight for name, weight in wanted.items()}

        def weights(route: dict) -> dict:
            rule = next(rule for rule in route["spec"]["rules"] if rule["name"] == "v1-chat-completions-publisher-path")
            return {ref["name"]: ref["weight"] for ref in rule["backendRefs"]}

        routes = lambda: here.plane.get("httproute", "-n", here.name)["items"]  # noqa: E731
        wait_until(lambda: [weights(route) for route in routes()] == [pools] * len(wanted), f"routes with {pools}")
        [here.ready(name) for name in wanted]

    path = f"/publishers/{here.name}/models/storyteller/v1/chat/completions"

    def share(count: int) -> tuple[int, int]:
        """What each places of so many requests to both."""
        before = here.placed("stable"), here.placed("canary")
        for _ in range(count):
            status, _, body = here.front.ask("POST", path, chat("storyteller"))
            assert status == 200, body
        after = here.placed("stable"), here.placed("canary")
        return int(after[0] - before[0]), int(after[1] - before[1])

    here.put("stable", router=group(100))
    here.ready("stable")
    here.wait_placed("stable", path, chat("storyteller"))
    here.put("canary", router=group(0))
    shared(stable=100, canary=0)
    wait_until(lambda: share(10) == (10, 0), "all traffic on the stable one")
    shared(stable=50, canary=50)
    wait_until(lambda: share(10)[1] > 0, "traffic on the canary")
    stable, canary = share(60)
    assert stable + canary == 60 and min(stable, canary) >= 10, (stable, canary)
    shared(stable=0, canary=100)
    wait_until(lambda: share(10) == (0, 10), "all traffic on the canary")
    here.plane.kubectl("delete", "llmisvc", "stable", "-n", here.name)
    assert share(20)[1] == 20
