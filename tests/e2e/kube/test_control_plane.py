"""The equipment itself: what the other tests take for granted about their control plane."""
import fcntl
import json

import binaries
import pytest
from part import NotReady, Part, wait_until

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


def test_a_part_that_cannot_start_tells_the_end_of_its_log(plane, tmp_path):
    command = [*plane.part("kube-controller-manager").command, "--no-such-flag"]
    part = Part("another", command, tmp_path / "log", lambda: False)

    with pytest.raises(NotReady, match="(?s)another ended with .*unknown flag: --no-such-flag"):
        part.start()


def test_a_run_that_waits_for_another_ones_build_gives_up_and_says_whose(tmp_path):
    place = tmp_path / "kube-x"
    with binaries.lock_of(place) as held, binaries.lock_of(place) as lock:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(binaries.BuildError, match=f"another run has been building them .* see {place}.log"):
            binaries.wait_for_lock(lock, place, seconds=0.1)
