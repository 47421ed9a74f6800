"""One `baton serve` under measurement: start, stop, what its processes hold."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATON = os.environ.get("BATON", str(ROOT / "build/baton"))
RANDOM_MODEL = ROOT / "build/bench/bench/random_model"


class Stack:
    """Runs between `with` and its end; exits the program when it does not become ready."""

    def __init__(self, manifest):
        self.state = tempfile.TemporaryDirectory(prefix="baton-bench-")
        self.log = open(os.path.join(self.state.name, "log"), "w+")
        self.process = subprocess.Popen(
            [BATON, "serve", "-f", str(manifest), "--port", "0", "--state-dir", self.state.name + "/state"],
            stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, "BATON_MODELS_DIR": str(ROOT / "models")})
        for line in self.process.stdout:
            if line.startswith("ready "):
                self.url = line.split()[1]
                return
        self.process.wait()
        self.log.seek(0)
        raise SystemExit("serve did not become ready:\n" + "".join(self.log.readlines()[-20:]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.log.close()
        self.state.cleanup()

    def pods(self):
        return json.loads(pathlib.Path(self.state.name, "state/status.json").read_text())["pods"]

    def processes(self):
        """(what it is, process id) of every process."""
        yield "serve with gateway", self.process.pid
        for pod in self.pods():
            for container in filter(lambda c: c["pid"], pod["containers"]):
                for pid in [container["pid"], *descendants(container["pid"])]:
                    yield f"{pod['role']} {container['name']}: {program(pid)}", pid


def status_of(pid, field):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return re.search(rf"{field}:\s+(.*)", text).group(1)


def rss(pid):
    """MiB."""
    return int(status_of(pid, "VmRSS").split()[0]) / 1024


def descendants(pid):
    """Without the process itself; /proc may lose entries meanwhile."""
    out = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            child = int(stat.parent.name)
            out += [child, *descendants(child)]
    return out


def program(pid):
    return os.path.basename(pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0])


def metrics(pod):
    """The engine's page. A decode pod's engine is behind its sidecar."""
    port = 8001 if pod["role"] == "decode" else 8000
    return urllib.request.urlopen(f"http://{pod['address']}:{port}/metrics", timeout=10).read().decode()


def kv_pool(pod):
    """(blocks, tokens of one)."""
    line = next(l for l in metrics(pod).splitlines() if l.startswith("vllm:cache_config_info"))
    labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
    return int(labels["num_gpu_blocks"]), int(labels["block_size"])


def print_memory(manifest, folder):
    """Resident memory of each process at rest."""
    config = json.loads((folder / "config.json").read_text())
    row = config["num_hidden_layers"] * 2 * config["num_key_value_heads"] * config["head_dim"] * 2
    weights = (folder / "model.safetensors").stat().st_size / 2**20
    print(f"\nMemory at rest, {manifest.name}: weights {weights:.1f} MiB, KV {row} bytes a token as bfloat16")
    with Stack(manifest) as stack:
        for name, pid in stack.processes():
            print(f"  {name:<44}{rss(pid):8.1f} MiB")
        for pod in stack.pods():
            blocks, size = kv_pool(pod)
            print(f"  KV pool of {pod['role']}: {blocks * size * row / 2**20:.0f} MiB ({blocks} blocks of {size})")


def with_arguments(text, arguments):
    """A manifest with more arguments for the engines of both roles."""
    def template(indent):
        lines = ("template:", "  containers:", "    - name: main", "      env:",
                 f"        - {{name: VLLM_ADDITIONAL_ARGS, value: {json.dumps(arguments)}}}")
        return "".join(f"{' ' * indent}{line}\n" for line in lines)
    text = re.sub("^  replicas: ", lambda m: template(2) + m[0], text, count=1, flags=re.M)
    return re.sub("^  prefill:\n", lambda m: m[0] + template(4), text, count=1, flags=re.M)


def random_model(folder):
    """The larger model of random weights."""
    model = folder / "model"
    if not (model / "model.safetensors").exists():
        if not RANDOM_MODEL.exists():
            raise SystemExit("no random_model: cmake --preset bench && ninja -C build/bench random_model")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([RANDOM_MODEL, model, ROOT / "models/storyteller"], check=True)
    return model


def random_manifest(model, name, arguments=""):
    """A manifest of examples/ for that model, one thread a pod; of decode pods, one fewer than the example has: as
    many pods as a machine of two cores has cores."""
    text = (ROOT / "examples" / name).read_text().replace("uri: baton://storyteller", f"uri: file://{model}")
    text = re.sub(r"^  replicas: (\d+)", lambda m: f"  replicas: {int(m[1]) - 1}", text, count=1, flags=re.M)
    return with_arguments(text, f"--threads 1 {arguments}".strip())
