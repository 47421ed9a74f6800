"""The controller with the rights that deploy/ gives it, and no others: all it does is allowed, and what is allowed it does."""
import json
from collections import Counter

import pytest
from control_plane import ControlPlane
from controller import Controller, apply, children, conditions
from part import wait_until
from test_deploy import render

RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
ACCOUNT = "system:serviceaccount:kserve:llmisvc-controller-manager"
AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: [%s]
- level: None
""" % ACCOUNT

# What it does not do itself, or only where there is something that is not here; each with its reason.
UNUSED = {
    "handed on to pickers and sidecars by their Roles": {
        ("", "pods", "get"), *(("discovery.k8s.io", "endpointslices", verb) for verb in ("get", "list", "watch")),
        *((group, kind, verb) for group in ("inference.networking.k8s.io", "inference.networking.x-k8s.io")
          for kind in ("inferenceobjectives", "inferencemodels") for verb in ("get", "list", "watch")),
        *(("inference.networking.x-k8s.io", kind, verb) for kind in ("inferencemodelrewrites", "inferencepoolimports")
          for verb in ("get", "list", "watch")),
        *(("llm-d.ai", kind, verb) for kind in ("inferenceobjectives", "inferencemodelrewrites") for verb in ("get", "list", "watch")),
        *(("coordination.k8s.io", "leases", verb) for verb in ("list", "watch", "patch", "delete")),
        ("authentication.k8s.io", "tokenreviews", "create"), ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ("inference.networking.x-k8s.io", "inferencepools", "watch"), ("inference.networking.x-k8s.io", "inferencepools", "get"),
    },
    "no definition of the kind here": {
        *(("keda.sh", "scaledobjects", verb) for verb in ("get", "list", "watch", "create", "update", "delete")),
        *(("llmd.ai", "variantautoscalings", verb) for verb in ("get", "list", "watch", "delete")),
        *(("serving.kserve.io", kind, verb) for kind in ("localmodelcaches", "localmodelnamespacecaches") for verb in ("list", "watch")),
    },
    "admission that is off here": {
        ("serving.kserve.io", f"{kind}/finalizers", "update") for kind in ("llminferenceservices", "llminferenceserviceconfigs")
    },
    "repeated events": {("", "events", "patch")},
    "stored v1alpha1 objects, of which there are none": {
        *(("serving.kserve.io", kind, "update") for kind in ("llminferenceservices", "llminferenceserviceconfigs")),
        ("apiextensions.k8s.io", "customresourcedefinitions/status", "update"),
    },
    "pools before v1, of which there are none": {("inference.networking.x-k8s.io", "inferencepools", verb) for verb in ("create", "update", "delete")},
    "authorities of the storage, and what others left": {("", "configmaps", verb) for verb in ("create", "update", "delete")},
}


@pytest.fixture(scope="module")
def restricted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restricted")
    policy, log = folder / "audit.yaml", folder / "audit.log"
    policy.write_text(AUDIT)
    with ControlPlane(folder / "plane", [f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-mode=blocking"]) as plane:
        controller = Controller(plane, flags=["--leader-elect"])
        controller.install()
        documents = render()
        plane.apply([document for document in documents if document["kind"] in RIGHTS])
        ingress = {"kserveIngressGateway": "kserve/kserve-ingress-gateway", "enableLLMInferenceServiceTLS": True}
        plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
                     "data": {"ingress": json.dumps(ingress)}})  # fmt: skip
        controller.act_as(plane.service_account("kserve", "llmisvc-controller-manager"))
        controller.start()
        yield plane, controller, documents, log
        controller.stop()


def used(log) -> Counter:
    """(group, resource, verb) of what was asked, with the answer's status."""
    out = Counter()
    for line in log.read_text().splitlines():
        event = json.loads(line)
        what = event.get("objectRef")
        if what and "resource" in what:
            resource = what["resource"] + ("/" + what["subresource"] if "subresource" in what else "")
            out[what.get("apiGroup", ""), resource, event["verb"], event["responseStatus"]["code"]] += 1
    return out


def granted(documents) -> set:
    return {(group, resource, verb) for document in documents if document["kind"] in ("ClusterRole", "Role") for rule in document["rules"]
            for group in rule.get("apiGroups", []) for resource in rule.get("resources", []) for verb in rule["verbs"]}  # fmt: skip


def test_all_that_it_does_is_allowed_and_all_that_is_allowed_it_does(restricted):
    plane, controller, documents, log = restricted
    plane.kubectl("create", "namespace", "team")
    plane.wait_for("serviceaccount", "default", "team")
    for manifest in ("seed/example1-llama2-7b-disaggregated.yaml", "seed/example2-granite-8b-pd-with-configs.yaml",
                     "kserve/pd-pipeline-prefill.yaml", "kserve/scaling-hpa.yaml", "kserve/devices.yaml"):  # fmt: skip
        names = apply(plane, manifest, "team")
        controller.settle()
        for name in names:
            assert conditions(plane, name, "team")["PresetsCombined"] == ("True", ""), name
    assert {"Deployment", "LeaderWorkerSet", "HorizontalPodAutoscaler", "Role", "Secret", "ResourceClaimTemplate", "HTTPRoute",
            "InferencePool"} <= {key[1] for key in children(plane, "team") if len(key) == 3}  # fmt: skip

    # Every child is changed underneath, and then all go one by one: by a stop, not by the garbage collector.
    kinds = ("deployment", "leaderworkerset", "service", "serviceaccount", "secret", "role", "rolebinding", "hpa", "httproute", "inferencepool",
             "resourceclaimtemplate")  # fmt: skip
    for kind in kinds:
        plane.kubectl("label", kind, "-n", "team", "-l", "app.kubernetes.io/part-of=llminferenceservice", "serving.kserve.io/x=y")
    plane.kubectl("label", "clusterrolebinding", "-l", "app.kubernetes.io/part-of=llminferenceservice", "serving.kserve.io/x=y")
    controller.settle()
    assert plane.get("clusterrolebinding", "-l", "serving.kserve.io/x=y")["items"] == []
    for kind in kinds:
        left = plane.get(kind, "-n", "team", "-l", "serving.kserve.io/x=y")["items"]
        assert kind == "secret" or not left, f"{kind}: a foreign label of ours stays"
    plane.kubectl("annotate", "llmisvc", "--all", "-n", "team", "serving.kserve.io/stop=true")
    wait_until(lambda: children(plane, "team") == {}, "all children gone", 60, step=0.3)
    controller.settle()
    controller.restart()
    controller.settle()
    plane.kubectl("delete", "llmisvc", "--all", "-n", "team", "--timeout=60s")

    asked = used(log)
    assert asked
    refused = {what: times for what, times in asked.items() if what[3] in (401, 403)}
    assert refused == {}
    assert "forbidden" not in controller.part.log.read_text()
    unused = granted(documents) - {what[:3] for what in asked}
    assert unused - set().union(*UNUSED.values()) == set()


def test_a_right_that_is_missing_is_told_by_name(restricted):
    plane, controller, documents, _ = restricted
    role = next(document for document in documents if document["kind"] == "ClusterRole")
    less = {**role, "rules": [rule for rule in role["rules"] if "deployments" not in rule.get("resources", [])]}
    plane.kubectl("create", "namespace", "less")
    plane.wait_for("serviceaccount", "default", "less")
    plane.kubectl("replace", "-f", "-", input=json.dumps(less))
    try:
        (name,) = apply(plane, "quickstart.yaml", "less")

        def told():
            return [one for one in plane.get("events", "-n", "less")["items"] if "forbidden" in one["message"] and "deployments" in one["message"]]

        wait_until(told, "an event that names the right", 30, step=0.2)
        assert conditions(plane, name, "less")["Ready"][0] == "False"
    finally:
        plane.kubectl("replace", "-f", "-", input=json.dumps(role))
    wait_until(lambda: any(key[1] == "Deployment" for key in children(plane, "less")), "made once the right is there", 60, step=0.3)
