"""Definitions and webhooks as kubectl sees them. What the API server's schema and expressions refuse is in webhook_kube_test.cpp."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from part import Part, answers, free_port, wait_until

ROOT = Path(__file__).resolve().parents[3]
BATON = os.environ.get("BATON", str(ROOT / "build/baton"))


def crds(*flags) -> str:
    return subprocess.run([BATON, "crds", *flags], capture_output=True, text=True, check=True).stdout


def service(name="llama", version="v1alpha2", **spec):
    return {
        "apiVersion": f"serving.kserve.io/{version}", "kind": "LLMInferenceService", "metadata": {"name": name, "namespace": "default"},
        "spec": {"model": {"uri": "hf://a/b", "name": "m"}, **spec},
    }  # fmt: skip


@pytest.fixture
def defined(own_plane, tmp_path):
    """A control plane with our definitions and no webhooks: objects of v1alpha2 need none."""
    definitions = tmp_path / "crds.yaml"
    definitions.write_text(crds())
    own_plane.install_definitions(definitions)
    return own_plane


def test_a_service_is_shown_with_url_readiness_and_reason(defined):
    defined.apply(service())
    status = {"url": "http://one", "addresses": [{"url": "http://one"}, {"url": "http://two"}],
              "conditions": [{"type": "Ready", "status": "False", "reason": "Progressing"}]}  # fmt: skip
    defined.kubectl("patch", "llmisvc", "llama", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))

    header, row = defined.kubectl("get", "llmisvc").splitlines()
    assert header.split() == ["NAME", "URL", "READY", "REASON", "AGE"]
    assert row.split()[:4] == ["llama", "http://one", "False", "Progressing"]
    assert defined.kubectl("get", "llmisvc", "-o", "wide").splitlines()[0].split() == ["NAME", "URL", "READY", "REASON", "AGE", "URLS"]
    defined.apply({**service("base"), "kind": "LLMInferenceServiceConfig"})
    assert defined.kubectl("get", "llminferenceserviceconfigs").splitlines()[0].split() == ["NAME", "READY", "REASON", "AGE"]


def test_kubectl_explains_fields_and_refuses_misspelt_ones(defined):
    said = defined.kubectl("explain", "llmisvc.spec.router.route.group")
    assert "share their traffic by weight" in said
    assert "mountPath" in defined.kubectl("explain", "llmisvc.spec.template.containers.volumeMounts")

    refused = defined.kubectl("apply", "-f", "-", check=False, input=json.dumps(service(replica=2)))
    assert 'unknown field "spec.replica"' in refused


def test_plain_apply_works_and_two_appliers_share_a_pod_by_container(defined):
    """`kubectl apply` keeps a copy in an annotation of at most 256 KiB: the definitions fit, and so do services."""
    defined.kubectl("delete", "crd", "llminferenceserviceconfigs.serving.kserve.io")
    assert "created" in defined.kubectl("apply", "-f", "-", input=crds())

    def with_container(name):
        return service(template={"containers": [{"name": name, "image": f"example.org/{name}"}]})

    defined.apply(with_container("main"), "--field-manager=one")
    defined.apply(with_container("proxy"), "--field-manager=two")
    containers = defined.get("llmisvc", "llama")["spec"]["template"]["containers"]
    assert {one["name"] for one in containers} == {"main", "proxy"}


def test_the_controllers_webhooks_default_refuse_warn_and_convert(own_plane, tmp_path):
    health, hooks = free_port(), free_port()
    objects = tmp_path / "crds.yaml"
    objects.write_text(crds("--webhooks", "--url", f"https://127.0.0.1:{hooks}"))
    own_plane.kubectl("create", "namespace", "kserve")
    own_plane.install_definitions(objects)
    controller = Part("controller", [
        BATON, "controller", "--kubeconfig", own_plane.admin, "--system-namespace", "kserve", "--webhook-port", hooks,
        "--metrics-bind-address", "0", "--health-probe-bind-address", f"127.0.0.1:{health}",
    ], tmp_path / "controller.log", ready=lambda: answers(f"http://127.0.0.1:{health}/healthz", wanted=None))  # fmt: skip
    controller.start()
    try:
        old = (ROOT / "examples/seed/example1-llama2-7b-disaggregated.yaml").read_text()
        own_plane.kubectl("create", "namespace", "llm-serving", check=False)
        wait_until(lambda: "serverside-applied" in own_plane.kubectl("apply", "--server-side", "-f", "-", input=old, check=False),
                   "the webhooks trusted", 60, step=0.5)  # fmt: skip

        item = own_plane.get("llminferenceservices.v1alpha2.serving.kserve.io", "-A")["items"][0]
        assert item["apiVersion"] == "serving.kserve.io/v1alpha2"
        assert item["spec"]["model"]["name"]
        assert own_plane.get("llminferenceservices.v1alpha1.serving.kserve.io", "-A")["items"][0]["apiVersion"] == "serving.kserve.io/v1alpha1"

        wrong = service("wrong", router={"route": {"group": "g"}}, parallelism={"data": 2})
        refused = own_plane.kubectl("create", "-f", "-", input=json.dumps(wrong), check=False)
        assert "spec.router.route.weight: Required value" in refused
        assert "spec.parallelism.dataLocal" in refused

        slip = service("slip", template={"containers": [{"name": "main", "comand": ["x"]}]})
        warned = own_plane.kubectl("create", "-f", "-", "--dry-run=server", input=json.dumps(slip), check=False)
        assert "Warning: spec.template.containers[0].comand: unknown field, has no effect (did you mean 'command'?)" in warned
    finally:
        controller.stop()
