"""`baton controller` beside a control plane: its definitions and webhooks installed, its figures read."""
import json
import os
import re
import subprocess
import time
import urllib.request
from collections import Counter, defaultdict
from pathlib import Path

from part import Part, answers, free_port, wait_until

ROOT = Path(__file__).resolve().parents[3]
# Of children.
KINDS = ("deployment,service,serviceaccount,role,rolebinding,secret,httproute,inferencepool,leaderworkerset,horizontalpodautoscaler,"
         "resourceclaimtemplate,configmap")  # fmt: skip
WRITES = ("create", "update", "update-status", "patch", "delete", "apply")
GATEWAY = {
    "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"},
    "spec": {"gatewayClassName": "none", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": {"namespaces": {"from": "All"}}}]},
}


class Controller:
    """One process. Several may run beside one control plane (`hooks` for one of them)."""

    def __init__(self, plane, name="controller", hooks=True, flags=()):
        self.plane = plane
        self.hooks, self.metrics, self.health = free_port() if hooks else 0, free_port(), free_port()
        words = [
            os.environ["BATON"], "controller", "--kubeconfig", plane.admin, "--webhook-port", self.hooks,
            "--metrics-bind-address", f"127.0.0.1:{self.metrics}", "--health-probe-bind-address", f"127.0.0.1:{self.health}", *flags,
        ]
        self.part = Part(name, words, Path(plane.folder) / f"{name}.log", lambda: answers(f"http://127.0.0.1:{self.health}/readyz"))

    def install(self):
        """The definitions and webhooks, called at this process, and what every service refers to."""
        words = [os.environ["BATON"], "crds", "--webhooks", "--url", f"https://127.0.0.1:{self.hooks}"]
        path = Path(self.plane.folder) / "baton-crds.yaml"
        path.write_text(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        self.plane.install("gateway", "inference", "lws")
        self.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", path)
        if not self.plane.exists("namespace", "kserve"):
            self.plane.kubectl("create", "namespace", "kserve")
            self.plane.apply(GATEWAY)

    def act_as(self, kubeconfig):
        """From the next start."""
        words = self.part.command
        words[words.index("--kubeconfig") + 1] = str(kubeconfig)

    def start(self):
        self.part.start()
        return self

    def stop(self):
        self.part.stop()

    def restart(self):
        self.stop()
        return self.start()

    def tails(self) -> str:
        return self.part.tail()

    def figures(self) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {name: float(value) for name, value in re.findall(r"^([^#\s]+) (\S+)$", text, re.M)}

    def requests(self) -> Counter:
        """By verb; the answers do not matter."""
        out = Counter()
        for name, value in self.figures().items():
            if found := re.match(r'baton_controller_requests_total\{verb="([^"]+)"', name):
                out[found[1]] += int(value)
        return out

    def writes(self) -> int:
        counted = self.requests()
        return sum(counted[verb] for verb in WRITES)

    def settle(self, seconds=60.0) -> float:
        """Until nothing is due, and all looks of 1.2 s see the same figures; the time of the first of them. What waits for its time (a pass
        that failed long ago, a certificate) does not count."""
        seen = []

        def quiet():
            figures = self.figures()
            if "baton_controller_queue_depth" not in figures:
                return False  # it does not lead yet
            look = figures["baton_controller_queue_depth"], figures["baton_controller_reconcile_seconds_count"], self.writes()
            if not seen or seen[-1][1] != look:
                seen.clear()
            seen.append((time.monotonic(), look))
            return seen[0][0] if len(seen) >= 12 and look[0] == 0 else None

        return wait_until(quiet, "the controller at rest", seconds, step=0.1)


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


def children_everywhere(plane) -> dict:
    """{namespace: {(apiVersion, kind, name): resourceVersion}} of what services own, and their bindings as (kind, name). Two requests."""
    out = defaultdict(dict)
    kinds = KINDS + ",scaledobject" if plane.api.serves("scaledobject") else KINDS
    for item in plane.get(kinds, "-A")["items"]:
        if any(ref["kind"] == "LLMInferenceService" for ref in item["metadata"].get("ownerReferences", [])):
            key = item["apiVersion"], item["kind"], item["metadata"]["name"]
            out[item["metadata"]["namespace"]][key] = item["metadata"]["resourceVersion"]
    for item in plane.get("clusterrolebinding", "-l", "app.kubernetes.io/part-of=llminferenceservice")["items"]:
        out[item["subjects"][0]["namespace"]]["ClusterRoleBinding", item["metadata"]["name"]] = item["metadata"]["resourceVersion"]
    return out


def children(plane, namespace) -> dict:
    return children_everywhere(plane)[namespace]


def conditions(plane, name, namespace):
    found = plane.get("llmisvc", name, "-n", namespace).get("status", {}).get("conditions", [])
    return {one["type"]: (one["status"], one.get("reason", "")) for one in found}
