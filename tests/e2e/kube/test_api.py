"""Definitions and webhooks as kubectl sees them. What the API server's schema and expressions refuse is in webhook_kube_test.cpp."""
import json
import subprocess

import pytest
from programs import BATON


def crds(*flags) -> str:
    return subprocess.run([BATON, "crds", *flags], capture_output=True, text=True, check=True).stdout


def service(name="llama", version="v1alpha2", **spec):
    return {
        "apiVersion": f"serving.kserve.io/{version}", "kind": "LLMInferenceService", "metadata": {"name": name, "namespace": "default"},
        "spec": {"model": {"uri": "hf://a/b", "name": "m"}, **spec},
    }  # fmt: skip


@pytest.fixture(scope="module")
def defined(plane, tmp_path_factory):
    """Our definitions and no webhooks: objects of v1alpha2 need none."""
    definitions = tmp_path_factory.mktemp("definitions") / "crds.yaml"
    definitions.write_text(crds())
    plane.install_definitions(definitions)
    yield plane
    plane.kubectl("delete", "-f", definitions, "--timeout=120s")


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
