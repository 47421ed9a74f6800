"""`baton node` as the kubelet of a real control plane."""
import subprocess

from part import wait_until
from programs import BATON, processes_of, program, wait_ready_pods
from programs import post as post_json


def engine(name: str, replicas: int, **pod) -> dict:
    container = {
        "name": "main", "image": "example.org/vllm", "command": ["vllm", "serve", "/mnt/models"], "args": ["--served-model-name=story"],
        "ports": [{"name": "http", "containerPort": 8000}], "volumeMounts": [{"name": "model", "mountPath": "/mnt/models"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
    }  # fmt: skip
    fetch = {"name": "storage-initializer", "image": "example.org/storage-initializer", "args": ["baton://storyteller", "/mnt/models"],
             "volumeMounts": [{"name": "model", "mountPath": "/mnt/models"}]}  # fmt: skip
    spec = {"initContainers": [fetch], "containers": [container], "volumes": [{"name": "model", "emptyDir": {}}], **pod}
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": spec}}}  # fmt: skip


def url_of(pod: dict) -> str:
    return f"http://{pod['status']['podIP']}:8000/v1/completions"


def test_a_deployment_runs_answers_scales_and_goes(stack, namespace):
    plane = stack.plane
    plane.apply(engine("story", 1), "-n", namespace)
    plane.kubectl("rollout", "status", "deployment/story", "-n", namespace, "--timeout=240s")

    pod = wait_ready_pods(plane, namespace, 1)[0]
    assert pod["status"]["podIP"].startswith("10.244.0.")
    assert pod["spec"]["nodeName"] == "baton"
    assert post_json(url_of(pod), {"model": "story", "prompt": "Once", "max_tokens": 4})[0] == 200

    plane.kubectl("scale", "deployment/story", "--replicas=3", "-n", namespace)
    assert len({pod["status"]["podIP"] for pod in wait_ready_pods(plane, namespace, 3)}) == 3

    plane.kubectl("delete", "deployment/story", "-n", namespace)
    wait_ready_pods(plane, namespace, 0)
    assert processes_of(stack.folder / "node" / "pods" / namespace) == []


def test_a_service_finds_the_pods_that_are_ready(stack, namespace):
    plane = stack.plane
    plane.apply([engine("story", 2), {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "story"},
        "spec": {"selector": {"app": "story"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }], "-n", namespace)  # fmt: skip
    wanted = {pod["status"]["podIP"] for pod in wait_ready_pods(plane, namespace, 2)}

    def addresses():
        return {address for item in plane.get("endpointslices", "-n", namespace)["items"] for endpoint in item.get("endpoints") or []
                if endpoint["conditions"]["ready"] for address in endpoint["addresses"]}  # fmt: skip

    wait_until(lambda: addresses() == wanted, "both addresses in the slice")


def test_a_pod_reaches_the_api_server_as_its_service_account(stack, namespace):
    plane = stack.plane
    plane.kubectl("create", "serviceaccount", "runner", "-n", namespace)
    # kubectl without a kubeconfig takes what client libraries take: two variables and the mounted token.
    plane.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "who"},
        "spec": {"serviceAccountName": "runner", "restartPolicy": "Never",
                 "containers": [{"name": "main", "image": "example.org/kubectl", "env": [{"name": "KUBECONFIG", "value": ""}],
                                 "command": [str(plane.programs / "bin/kubectl"), "auth", "whoami", "-o", "json"]}]},
    }, "-n", namespace)  # fmt: skip

    wait_until(lambda: plane.get("pod", "who", "-n", namespace)["status"].get("phase") in ("Succeeded", "Failed"), "the pod's end", step=0.1)
    log = stack.container_log(namespace, "who", "main")
    assert f"system:serviceaccount:{namespace}:runner" in log, log


def test_a_container_that_crashes_is_restarted_and_counted(stack, namespace):
    plane = stack.plane
    plane.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "crashes"},
        "spec": {"containers": [{"name": "main", "image": "example.org/x", "command": ["bash", "-c", "exit 3"]}]},
    }, "-n", namespace)  # fmt: skip

    def status():
        return (plane.get("pod", "crashes", "-n", namespace)["status"].get("containerStatuses") or [{}])[0]

    wait_until(lambda: status().get("restartCount", 0) >= 1, "a restart", step=0.1)
    assert status()["lastState"]["terminated"]["exitCode"] == 3


def test_an_api_server_on_another_machine_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere.kubeconfig"
    elsewhere.write_text("""{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443"}}], "users": [{"name": "u", "user": {"token": "t"}}]}""")

    done = subprocess.run([BATON, "node", "--kubeconfig", elsewhere, "--state-dir", tmp_path / "state"], capture_output=True, text=True)

    assert done.returncode == 3
    assert "names the API server 192.0.2.1, which is not on this machine" in done.stderr


def test_pods_outlive_an_api_server_that_is_killed(stack, namespace):  # the last one here
    plane = stack.plane
    plane.apply(engine("story", 1), "-n", namespace)
    before = wait_ready_pods(plane, namespace, 1)[0]

    plane.part("kube-apiserver").kill()
    assert post_json(url_of(before), {"model": "story", "prompt": "Once", "max_tokens": 4})[0] == 200
    plane.part("kube-apiserver").start()

    plane.kubectl("scale", "deployment/story", "--replicas=2", "-n", namespace)  # heard of by the node again
    after = wait_ready_pods(plane, namespace, 2)
    same = [pod for pod in after if pod["metadata"]["uid"] == before["metadata"]["uid"]]
    assert same and same[0]["status"]["containerStatuses"] == before["status"]["containerStatuses"]
