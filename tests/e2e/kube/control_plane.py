"""etcd, kube-apiserver and kube-controller-manager as processes on free ports of 127.0.0.1, in one folder.

    with ControlPlane(folder) as plane:
        plane.install("gateway", "inference")
        plane.kubectl("get", "namespaces")

By hand: `python control_plane.py up --dir D`, see README.md.
"""

import argparse
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import binaries
import identities
from api import Api, Refused
from part import PATIENCE, NotReady, Part, answers, free_port, wait_until

# What a cluster runs that objects of ours need. No scheduler (the node of the tests binds pods), no node lifecycle (it need not renew a
# lease).
CONTROLLERS = """deployment-controller replicaset-controller statefulset-controller daemonset-controller job-controller
    garbage-collector-controller namespace-controller pod-garbage-collector-controller ttl-after-finished-controller
    endpoints-controller endpointslice-controller serviceaccount-controller serviceaccount-token-controller
    root-ca-certificate-publisher-controller disruption-controller horizontal-pod-autoscaler-controller""".split()
ISSUER = "https://kubernetes.default.svc"
LWS_TYPE = "leaderworkersets.leaderworkerset.x-k8s.io"


class ControlPlane:
    """Every wait has a deadline and ends in NotReady with the end of the log. `without`: of CONTROLLERS, those that are not to run."""

    def __init__(self, folder, api_arguments=(), manager_arguments=(), without=()):
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.programs = binaries.ensure()
        ports = self._ports("etcd", "etcd_peer", "api", "manager", "lws_webhook", "lws_health")
        self.port = ports["api"]
        self.server = f"https://127.0.0.1:{self.port}"
        self.identities = identities.Identities(self.folder, self.server)
        self.admin = self.identities.token_user("admin", identities.ADMIN_TOKEN)
        self.nobody = self.identities.token_user("nobody", identities.NOBODY_TOKEN)  # known to the server, without any right
        self.certificate_admin = self.identities.certificate_user("admin", "system:masters")
        self.api = Api(self.port, self.identities.ca, identities.ADMIN_TOKEN)
        self._lws_ports = (ports["lws_webhook"], ports["lws_health"])
        self.parts: dict[str, Part] = {}
        self._add_etcd(ports["etcd"], ports["etcd_peer"])
        self._add_api_server(ports["etcd"], list(api_arguments))
        self._add_controller_manager(ports["manager"], [name for name in CONTROLLERS if name not in without], list(manager_arguments))

    def _ports(self, *names) -> dict:
        """The same in each life of the folder: kubeconfigs stay good over `down` and `up`."""
        file = self.folder / "ports.json"
        if not file.exists():
            file.write_text(json.dumps({name: free_port() for name in names}))
        return json.loads(file.read_text())

    # --- the parts

    def _add(self, name, program, arguments, ready, **more):
        command = [self.programs / "bin" / program, *arguments]
        self.parts[name] = Part(name, command, self.folder / f"{name}.log", ready, **more)

    def _add_etcd(self, port, peer_port):
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
        self._add("etcd", "etcd", [
            "--name=test", f"--data-dir={self.folder}/etcd", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}",
            "--max-request-bytes=10485760", "--quota-backend-bytes=2147483648",
        ], lambda: answers(f"{client}/health", wanted=None))  # fmt: skip

    def _add_api_server(self, etcd_port, more):
        here = self.folder
        self._add("kube-apiserver", "kube-apiserver", [
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={self.port}",
            f"--tls-cert-file={here}/kube-apiserver.crt", f"--tls-private-key-file={here}/kube-apiserver.key",
            f"--client-ca-file={self.identities.ca}", f"--token-auth-file={here}/tokens.csv", "--authorization-mode=RBAC",
            f"--service-account-key-file={here}/sa.pub", f"--service-account-signing-key-file={here}/sa.key",
            f"--service-account-issuer={ISSUER}", f"--api-audiences={ISSUER}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",  # its own address is a loopback one, which Endpoints refuse
            "--allow-privileged=true", *more,
        ], lambda: answers(f"{self.server}/readyz", self.identities.ca, token=identities.ADMIN_TOKEN))  # fmt: skip

    def _add_controller_manager(self, port, controllers, more):
        user = self.identities.token_user("controller-manager", identities.CONTROLLER_MANAGER_TOKEN)
        self._add("kube-controller-manager", "kube-controller-manager", [
            f"--kubeconfig={user}", "--bind-address=127.0.0.1", f"--secure-port={port}", "--leader-elect=false",
            "--use-service-account-credentials=true",  # each controller with its own rights, as in production
            f"--service-account-private-key-file={self.folder}/sa.key", f"--root-ca-file={self.identities.ca}",
            f"--controllers={','.join(controllers)}", "--concurrent-gc-syncs=4", *more,
        ], lambda: answers(f"https://127.0.0.1:{port}/healthz"))  # fmt: skip

    # --- life

    def start(self) -> "ControlPlane":
        try:
            for part in self.parts.values():
                part.start()
            self.wait_for("serviceaccount", "default", "default")  # pods are refused before
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        for part in reversed(list(self.parts.values())):
            part.stop()

    def __enter__(self):
        return self if any(part.is_running() for part in self.parts.values()) else self.start()

    def __exit__(self, *_):
        self.stop()

    def part(self, name: str) -> Part:
        return self.parts[name]

    def restart(self, name: str):
        """Killed as by the kernel, then started on the same port."""
        self.parts[name].kill()
        self.parts[name].start()

    def tails(self) -> str:
        return "\n".join(part.tail() for part in self.parts.values())

    # --- talking to it

    def kubectl(self, *words, user: Path | None = None, input: str | None = None, check: bool = True, seconds: float = 60) -> str:
        """Standard output; with check=False standard output and error together."""
        command = [str(self.programs / "bin" / "kubectl"), f"--kubeconfig={user or self.admin}", *map(str, words)]
        # Its caches under the test's folder, not in the home folder.
        environment = {**os.environ, "HOME": str(self.folder)}
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=seconds * PATIENCE, env=environment)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def get(self, kind: str, *words) -> dict:
        """As `kubectl get KIND [NAME] [-n NAMESPACE | -A] [-l SELECTOR] -o json`, at a twentieth of its cost."""
        options = argparse.ArgumentParser(exit_on_error=False)
        options.add_argument("name", nargs="?")
        options.add_argument("-n", default="default")
        options.add_argument("-A", action="store_const", const=None, dest="n")
        options.add_argument("-l", default="")
        given = options.parse_args([str(word) for word in words])
        if given.name:
            return self.api.get(kind, given.name, given.n)
        return {"items": self.api.list(kind, given.n, given.l)}

    def exists(self, kind: str, name: str, namespace: str = "default") -> bool:
        try:
            return bool(self.api.get(kind, name, namespace))
        except Refused as answer:
            if answer.status == 404:
                return False
            raise

    def patch(self, kind: str, name: str, namespace: str, change: dict, subresource: str = "") -> dict:
        """A merge patch, as of `kubectl patch --type=merge`."""
        path = self.api.path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return self.api.request("PATCH", path, change, "application/merge-patch+json")

    def wait_for(self, kind: str, name: str, namespace: str = "default", seconds: float = 30):
        wait_until(lambda: self.exists(kind, name, namespace), f"{kind} {name}", seconds, step=0.1)

    def apply(self, manifest, *words) -> str:
        """A path, or objects."""
        if isinstance(manifest, (str, Path)):
            return self.kubectl("apply", "--server-side", "-f", manifest, *words)
        items = manifest if isinstance(manifest, list) else [manifest]
        return self.kubectl("apply", "--server-side", "-f", "-", *words, input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig with the account's token; the account must exist."""
        token = self.kubectl("create", "token", name, "-n", namespace).strip()
        return self.identities.token_user(f"{namespace}-{name}", token)

    # --- definitions

    def install(self, *sets: str):
        """Of `gateway`, `inference`, `lws`: applies the definitions and waits until the server serves them."""
        for name in sets:
            if name not in binaries.VERSIONS["crds"]:
                raise ValueError(f"no definitions called {name!r}: {', '.join(binaries.VERSIONS['crds'])}")
            self.install_definitions(self.programs / "crds" / name)

    def install_definitions(self, path):
        """A file or folder of CustomResourceDefinitions."""
        # By server-side apply: the annotation of a client-side one would be too long.
        applied = self.kubectl("apply", "--server-side", "--force-conflicts", "-f", path, "-o", "name")
        names = [line for line in applied.split() if line.startswith("customresourcedefinition")]

        def established():
            text = self.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names, check=False)
            return text.count("condition met") == len(names)  # right after apply it may stumble over an empty status

        wait_until(established, f"{path} established", 60, step=0.1)
        for name in names:
            self._wait_served(name.split("/", 1)[1])

    def _wait_served(self, plural: str):
        wait_until(lambda: "error" not in self.kubectl("get", plural, "-A", check=False).lower(), f"{plural} served", 30, step=0.1)

    def start_lws(self):
        """The LeaderWorkerSet controller with its webhooks, which set index, environment and subdomain of its pods."""
        self.install("lws")
        webhook, health = self._lws_ports
        certificate, key = self.identities.certificate("lws", "/CN=lws-webhook", "IP:127.0.0.1,DNS:localhost", "serverAuth")
        keys = self.folder / "lws-certificates"
        keys.mkdir(exist_ok=True)
        shutil.copy(certificate, keys / "tls.crt")
        shutil.copy(key, keys / "tls.key")
        settings = self.folder / "lws.json"
        settings.write_text(json.dumps({
            "apiVersion": "config.lws.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
            "webhook": {"port": webhook, "certDir": str(keys)},
            "metrics": {"bindAddress": "0"},
            "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        }))  # fmt: skip

        def ready():
            # The webhook port answers 404: anything but a refused connection is enough.
            return answers(f"http://127.0.0.1:{health}/readyz") and _accepts(webhook)

        self._add("lws", "lws-manager", [f"--config={settings}"], ready, environment={"KUBECONFIG": str(self.admin)})
        self.parts["lws"].start()
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=self._lws_webhooks(webhook))

    def _lws_webhooks(self, port: int) -> str:
        """Upstream's manifest names a Service; here the webhooks are on this machine, under the test's authority."""
        text = (self.programs / "crds" / "lws-webhooks.yaml").read_text()
        authority = base64.b64encode(self.identities.ca.read_bytes()).decode()
        return re.sub(
            r"^( *)service:\n(?: +name: .*\n| +namespace: .*\n)* +path: (\S+)\n",
            lambda found: f"{found[1]}url: https://127.0.0.1:{port}{found[2]}\n{found[1]}caBundle: {authority}\n",
            text,
            flags=re.M,
        )

    def environment(self) -> dict:
        """What programs of ours are told: tests in C++ read BATON_KUBECONFIG, kubectl reads KUBECONFIG."""
        return {
            "KUBECONFIG": str(self.admin),
            "BATON_KUBECONFIG": str(self.admin),
            "BATON_KUBE_DIR": str(self.folder),
            "PATH": f"{self.programs / 'bin'}:{os.environ['PATH']}",
        }


def _accepts(port: int) -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


# --- by hand ----------------------------------------------------------------------------------------------------------------


def up(arguments):
    if arguments.detach:
        return up_detached(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    started = time.monotonic()
    folder = Path(arguments.dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with ControlPlane(folder).start() as plane:
        (folder / "up.pid").write_text(str(os.getpid()))
        plane.install(*[name for name in arguments.install if name != "lws"])
        if "lws" in arguments.install:
            plane.start_lws()
        lines = [f"export {name}={value}" for name, value in plane.environment().items() if name != "PATH"]
        lines.append(f'export PATH={plane.programs / "bin"}:"$PATH"')
        (folder / "env").write_text("\n".join(lines) + "\n")
        print(f"ready {plane.server} after {time.monotonic() - started:.1f} s; use it with: source {folder}/env", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            (folder / "env").unlink(missing_ok=True)
            (folder / "up.pid").unlink(missing_ok=True)


def up_detached(arguments):
    folder = Path(arguments.dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    binaries.ensure()  # its progress is for the caller to see
    log = folder / "up.log"
    command = [sys.executable, __file__, "up", "--dir", str(folder)] + [word for name in arguments.install for word in ("--install", name)]
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)

    def ready():
        if process.poll() is not None:
            raise NotReady(log.read_text())
        return "ready " in log.read_text()

    wait_until(ready, f"control plane in {folder}, see {log}", 180)
    print(log.read_text().strip())


def down(arguments):
    file = Path(arguments.dir).absolute() / "up.pid"
    if not file.exists():
        sys.exit(f"no control plane was started in {file.parent}")
    pid = int(file.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or not file.exists(), f"process {pid} ended", 60)


def main():
    parser = argparse.ArgumentParser(description="A Kubernetes control plane on this machine, for tests")
    commands = parser.add_subparsers(required=True)
    start = commands.add_parser("up", help="start it; Ctrl-C ends it")
    start.add_argument("--dir", required=True, help="its folder: keys, kubeconfigs, logs, data; kept, so that `up` again goes on")
    start.add_argument("--install", action="append", default=[], choices=list(binaries.VERSIONS["crds"]),
                       help="definitions to install; lws brings its controller too")  # fmt: skip
    start.add_argument("--detach", action="store_true", help="return once it is ready; `down` ends it")
    start.set_defaults(run=up)
    stop = commands.add_parser("down", help="end what `up --detach` started")
    stop.add_argument("--dir", required=True)
    stop.set_defaults(run=down)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (binaries.BuildError, NotReady) as error:
        sys.exit(f"control plane: {error}")


if __name__ == "__main__":
    main()
