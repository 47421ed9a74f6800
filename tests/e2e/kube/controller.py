"""`baton controller` beside a control plane: its definitions and webhooks installed, its figures read."""
import os
import re
import urllib.request
from collections import Counter
from pathlib import Path

from part import Part, answers, free_port, wait_until

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
        import subprocess

        words = [os.environ["BATON"], "crds", "--webhooks", "--url", f"https://127.0.0.1:{self.hooks}"]
        path = Path(self.plane.folder) / "baton-crds.yaml"
        path.write_text(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        self.plane.install("gateway", "inference", "lws")
        self.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", path)
        if not self.plane.exists("namespace", "kserve"):
            self.plane.kubectl("create", "namespace", "kserve")
            self.plane.apply(GATEWAY)

    def start(self):
        self.part.start()
        return self

    def stop(self):
        self.part.stop()

    def restart(self):
        self.stop()
        return self.start()

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

    def settle(self, seconds=60.0):
        """Until nothing waits and two looks in a row see the same figures."""
        seen = []

        def quiet():
            figures = self.figures()
            seen.append((figures["baton_controller_queue_depth"], figures["baton_controller_reconcile_seconds_count"], self.writes()))
            return len(seen) >= 8 and len(set(seen[-8:])) == 1 and seen[-1][0] == 0

        wait_until(quiet, "the controller at rest", seconds, step=0.1)
