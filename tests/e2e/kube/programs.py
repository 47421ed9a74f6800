"""Our programs beside the control plane: the node agent that runs its pods, the gateway before them."""
import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from part import Part, answers, free_port, wait_until

ROOT = Path(__file__).resolve().parents[3]
BATON = os.environ.get("BATON", str(ROOT / "build/baton"))
MODELS = {"BATON_MODELS_DIR": str(ROOT / "models")}


def program(name: str, arguments: list, folder: Path, ready=None, **more) -> Part:
    """`baton ARGUMENTS`, ready by its own word ("ready …" on a line) unless told otherwise."""
    log = folder / f"{name}.log"
    said = lambda: any(line.startswith("ready") for line in log.read_text(errors="replace").splitlines())  # noqa: E731
    return Part(name, [BATON, *arguments], log, ready or said, environment={**MODELS, **more})


class Stack:
    """`baton node` and `baton gateway` on one control plane; `front` is another gateway in its place."""

    def __init__(self, plane, folder: Path, *node_arguments, front=None):
        self.plane, self.folder = plane, folder
        self.controller: Part | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.port = front.port if front else free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.gateway = front or program(
            "gateway", ["gateway", "--kubeconfig", plane.admin, "--port", self.port, "--proof-headers"], folder,
            ready=lambda: answers(f"http://127.0.0.1:{self.port}/health", wanted=None))  # fmt: skip
        self.node = program("node", ["node", "--kubeconfig", plane.admin, "--state-dir", folder / "node", "--gateway-port", self.port,
                                     *node_arguments], folder)  # fmt: skip

    def add_controller(self):
        """`baton controller`, with the definitions it needs."""
        definitions = self.folder / "crds.yaml"
        hooks = free_port()
        definitions.write_text(subprocess.run([BATON, "crds", "--webhooks", "--url", f"https://127.0.0.1:{hooks}"], capture_output=True, text=True, check=True).stdout)
        # Not waited for: objects of another version are served once the controller converts them.
        self.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", definitions)
        if not self.plane.exists("namespace", "kserve"):
            self.plane.kubectl("create", "namespace", "kserve")
        self.controller = program("controller", [
            "controller", "--kubeconfig", self.plane.admin, "--system-namespace", "kserve", "--webhook-port", hooks,
            "--metrics-bind-address", f"127.0.0.1:{free_port()}", "--health-probe-bind-address", f"127.0.0.1:{free_port()}",
        ], self.folder)  # fmt: skip

    def __enter__(self):
        try:
            self.gateway.start()
            self.node.start()
            if self.controller:
                self.controller.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.controller:
            self.controller.stop()
        self.node.stop()
        self.gateway.stop()

    def tails(self) -> str:
        return "\n".join(part.tail() for part in (self.gateway, self.node, self.controller) if part)

    def container_log(self, namespace: str, pod: str, container: str) -> str:
        file = self.folder / "node/logs" / namespace / pod / f"{container}.log"
        return file.read_text() if file.exists() else ""

    def chat(self, model: str, text: str, url: str | None = None, **more):
        """(status, headers, body) of one chat turn."""
        body = {"model": model, "max_tokens": 24, "temperature": 0, "messages": [{"role": "user", "content": text}], **more}
        return post(f"{url or self.url}/chat/completions", body)


def post(url: str, body: dict, seconds: float = 60):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return answer.status, answer.headers, json.loads(answer.read())
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read().decode()


def processes_of(folder: Path) -> list[int]:
    """Those whose environment names the folder: the pods' processes."""
    out = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(folder).encode() in (process / "environ").read_bytes():
                out.append(int(process.name))
        except OSError:
            pass
    return out


def ready_pods(plane, namespace: str, selector: str = "") -> list[dict]:
    pods = plane.get("pods", "-n", namespace, *(["-l", selector] if selector else []))["items"]
    return [pod for pod in pods
            if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
            and "deletionTimestamp" not in pod["metadata"]]  # fmt: skip


def wait_ready_pods(plane, namespace: str, count: int, selector: str = "", seconds: float = 60) -> list[dict]:
    def exactly():
        pods = ready_pods(plane, namespace, selector)
        return pods if len(pods) == count else None

    if count:
        return wait_until(exactly, f"{count} ready pods of {selector or namespace}", seconds, step=0.1)
    wait_until(lambda: not plane.get("pods", "-n", namespace, *(["-l", selector] if selector else []))["items"],
               f"no pods of {selector or namespace}", seconds, step=0.1)  # fmt: skip
    return []
