"""The equipment itself: what the other tests take for granted about their control plane."""
import json
import subprocess

import pytest
from part import NotReady, wait_until

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "some-node"}}  # pods of unknown nodes get into no slice
POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"nodeName": "some-node", "containers": [{"name": "main", "image": "example.org/web", "ports": [{"name": "http", "containerPort": 8000}]}]},
}
SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
}


def set_running(plane, namespace, address):
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [{"type": "Ready", "status": "True"}]}
    return plane.kubectl("patch", "pod", "web", "-n", namespace, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}), check=False)


def slice_addresses(plane, namespace):
    slices = plane.get("endpointslices", "-n", namespace)["items"]
    return [address for item in slices for endpoint in item.get("endpoints") or [] for address in endpoint["addresses"]]


def test_a_ready_pod_is_in_the_endpoint_slice_of_its_service(plane, namespace):
    plane.apply(NODE)
    plane.apply([POD, SERVICE], "-n", namespace)

    set_running(plane, namespace, "10.244.0.9")

    wait_until(lambda: slice_addresses(plane, namespace) == ["10.244.0.9"], "the pod's address in the slice")


def test_certificates_tokens_and_service_accounts_are_told_apart(plane, namespace):
    def me(user):
        return plane.kubectl("auth", "whoami", "-o", "json", user=user)

    assert '"username": "admin"' in me(plane.admin)
    assert '"username": "admin"' in me(plane.certificate_admin)
    assert f'"username": "system:serviceaccount:{namespace}:default"' in me(plane.service_account(namespace, "default"))
    assert "forbidden" in plane.kubectl("get", "pods", "-n", namespace, user=plane.nobody, check=False)


def test_definitions_of_the_gateway_and_of_pools_are_served(plane):
    served = plane.kubectl("api-resources", "-o", "name").split()

    assert "httproutes.gateway.networking.k8s.io" in served
    assert "inferencepools.inference.networking.k8s.io" in served


def test_an_api_server_killed_and_restarted_keeps_objects_and_port(own_plane):
    own_plane.kubectl("create", "configmap", "kept")

    own_plane.restart("kube-apiserver")

    assert own_plane.exists("configmap", "kept", "default")


def test_a_stalled_etcd_answers_again_after_it_is_let_go(own_plane):
    own_plane.part("etcd").pause()
    with pytest.raises(subprocess.TimeoutExpired):
        own_plane.kubectl("create", "configmap", "late", seconds=3)

    own_plane.part("etcd").resume()

    wait_until(lambda: own_plane.exists("configmap", "late", "default") or own_plane.kubectl("create", "configmap", "late", check=False),
               "writes go on", 60)  # fmt: skip


def test_a_part_that_cannot_start_tells_the_end_of_its_log(own_plane):
    part = own_plane.part("kube-controller-manager")
    part.kill()
    part.command.append("--no-such-flag")

    with pytest.raises(NotReady, match="(?s)kube-controller-manager ended with .*unknown flag: --no-such-flag"):
        part.start()


def test_leader_worker_sets_become_groups_of_pods(own_plane):
    own_plane.start_lws()
    template = {"spec": {"containers": [{"name": "main", "image": "example.org/engine"}]}}
    own_plane.apply({
        "apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": "group"},
        "spec": {"replicas": 1, "leaderWorkerTemplate": {"size": 3, "workerTemplate": template}},
    })  # fmt: skip

    def pods():
        return {pod["metadata"]["name"]: pod for pod in own_plane.get("pods")["items"]}

    # Workers come once their leader is bound or at once, as the controller pleases; a leader is always first.
    wait_until(lambda: "group-0" in pods(), "the leader pod")
    variables = {entry["name"]: entry.get("value") for entry in pods()["group-0"]["spec"]["containers"][0]["env"]}
    assert variables["LWS_LEADER_ADDRESS"] == "group-0.group.default"
    assert variables["LWS_GROUP_SIZE"] == "3"
