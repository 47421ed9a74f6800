"""What the specification says of one service's life, on a real API server: what is made, what goes, and what the status says."""
import json

import pytest
from controller import children, conditions
from part import wait_until

MAIN = {"containers": [{"name": "main"}]}
ROUTED = {"gateway": {}, "route": {}, "scheduler": {}}


def service(name="s", annotations=None, **spec) -> dict:
    return {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {"model": {"uri": "hf://org/model", "name": "m"}, **spec}}  # fmt: skip


class One:
    """The services of one namespace."""

    def __init__(self, plane, controller, place):
        self.plane, self.controller, self.place = plane, controller, place

    def put(self, *objects):
        """Replaced as a whole, so that members go too."""
        for item in objects:
            kind, name = item["kind"].lower(), item["metadata"]["name"]
            verb = "replace" if self.plane.exists(kind, name, self.place) else "create"
            self.plane.kubectl(verb, "-n", self.place, "-f", "-", input=json.dumps(item))
        # At rest may also be who has not heard of it yet.
        wait_until(self._all_observed, "the controller's look at every service", 60, step=0.1)
        self.controller.settle()

    def _all_observed(self) -> bool:
        services = self.plane.get("llmisvc", "-n", self.place)["items"]
        return all(one.get("status", {}).get("observedGeneration") == one["metadata"]["generation"] for one in services)

    def made(self, *kinds) -> set:
        found = {key[-2:] for key in children(self.plane, self.place)}
        return {key for key in found if not kinds or key[0] in kinds}

    def told(self, name="s") -> dict:
        return conditions(self.plane, name, self.place)

    def get(self, kind="llmisvc", name="s") -> dict:
        return self.plane.get(kind, name, "-n", self.place)

    def status(self, kind, name, status: dict):
        self.plane.patch(kind, name, self.place, {"status": status}, "status")
        self.controller.settle()

    def annotate(self, *words, name="s"):
        passes = lambda: self.controller.figures()["baton_controller_reconcile_seconds_count"]  # noqa: E731
        before = passes()
        self.plane.kubectl("annotate", "llmisvc", name, "-n", self.place, *words)
        wait_until(lambda: passes() > before, "a pass after the annotation", 60, step=0.1)
        self.controller.settle()


@pytest.fixture
def one(controlled, place):
    return One(*controlled, place)


RIGHTS = ("ServiceAccount", "Role", "RoleBinding")


def test_without_worker_the_groups_become_a_deployment(one):  # llmisvc:A11
    groups = service(parallelism={"data": 2, "dataLocal": 1}, template=MAIN, worker=MAIN, router=ROUTED, prefill={"replicas": 1, "template": MAIN})
    one.put(groups)
    assert ("LeaderWorkerSet", "s-kserve-mn") in one.made()
    before = {key for key in one.made(*RIGHTS) if "-mn" in key[1]}
    assert {kind for kind, _ in before} == set(RIGHTS)
    assert ("Deployment", "s-kserve") not in one.made()

    del groups["spec"]["worker"]
    one.put(groups)
    assert not one.made("LeaderWorkerSet")
    assert not before & one.made(*RIGHTS)
    assert ("Deployment", "s-kserve") in one.made()


def test_without_prefill_its_workload_and_its_conditions_go(one):  # llmisvc:A12
    one.put(service(template=MAIN, router=ROUTED, prefill={"parallelism": {"data": 2, "dataLocal": 1}, "template": MAIN, "worker": MAIN}))
    assert ("LeaderWorkerSet", "s-kserve-mn-prefill") in one.made()
    accounts = {key for key in one.made("ServiceAccount") if "prefill" in key[1]}
    assert any(kind.startswith("Prefill") for kind in one.told())
    one.put(service(template=MAIN, router=ROUTED))
    assert not [key for key in one.made("Deployment", "LeaderWorkerSet", *RIGHTS) if "prefill" in key[1]]
    assert not accounts & one.made()
    assert not [kind for kind in one.told() if kind.startswith("Prefill")]


def test_without_a_sidecar_its_account_and_rights_go(one):  # llmisvc:A22
    one.put(service(router=ROUTED, prefill={"replicas": 1}))
    before = {key for key in one.made(*RIGHTS) if "epp" not in key[1]}
    assert {kind for kind, _ in before} == set(RIGHTS)
    one.put(service(router=ROUTED))
    assert not before & one.made(*RIGHTS)
    assert ("Deployment", "s-kserve") in one.made()


DEVICES = {"serving.kserve.io/exp-dra-device-class": "gpu.nvidia.com", "serving.kserve.io/exp-dra-device-count": "2"}


def test_without_its_annotation_or_when_stopped_the_device_claim_goes(one):  # llmisvc:A27
    one.put(service(annotations=DEVICES, template=MAIN))
    assert len(one.made("ResourceClaimTemplate")) == 1
    one.put(service(template=MAIN))
    assert one.made("ResourceClaimTemplate") == set()
    one.put(service(annotations=DEVICES, template=MAIN))
    assert len(one.made("ResourceClaimTemplate")) == 1
    one.annotate("serving.kserve.io/stop=true")
    assert one.made("ResourceClaimTemplate") == set()
    # With nothing there, deleting it is no error.
    one.put(service(annotations={"serving.kserve.io/stop": "true"}, template=MAIN))
    assert one.told()["MainWorkloadReady"] == ("False", "Stopped")


def config(name, **spec) -> dict:
    return {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig", "metadata": {"name": name}, "spec": spec}


def test_configurations_that_were_used_are_listed_in_order_with_their_source(one):  # llmisvc:B06
    one.put(config("first", labels={"a": "1"}), config("second", labels={"a": "2"}))
    one.put(service(baseRefs=[{"name": "first"}, {"name": "second"}], prefill={"replicas": 1}, router=ROUTED))
    applied = one.get()["status"]["appliedConfigs"]
    own = [(c["name"], c["source"], c["namespace"]) for c in applied if c["source"] == "UserRef"]
    assert own == [("first", "UserRef", one.place), ("second", "UserRef", one.place)]
    presets = [c for c in applied if c["source"] == "Preset"]
    assert presets and {c["namespace"] for c in presets} == {"kserve"}
    assert applied == presets + [c for c in applied if c["source"] == "UserRef"]


def test_a_pool_that_is_referred_to_is_used_and_followed(one):  # llmisvc:D03
    pool = {"apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool", "metadata": {"name": "theirs"},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "targetPorts": [{"number": 8000}],
                     "endpointPickerRef": {"name": "picker", "port": {"number": 9002}}}}  # fmt: skip
    one.put(pool)
    one.put(service(router={"gateway": {}, "route": {}, "scheduler": {"pool": {"ref": {"name": "theirs"}}}}))
    rules = one.get("httproute", "s-kserve-route")["spec"]["rules"]
    pools = {ref["name"] for rule in rules for ref in rule["backendRefs"] if ref.get("kind") == "InferencePool"}
    assert pools == {"theirs"}
    assert not [key for key in one.made() if "epp" in key[1] or "router-scheduler" in key[1] or key[0] == "InferencePool"]
    assert one.told()["InferencePoolReady"][0] == "False"
    parent = {"parentRef": {"name": "kserve-ingress-gateway", "namespace": "kserve"},
              "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}  # fmt: skip
    one.status("inferencepool", "theirs", {"parents": [parent]})
    assert one.told()["InferencePoolReady"][0] == "True"


def test_two_gateways_and_one_pool_parent_wait_for_the_other(one):  # llmisvc:D22
    for name in ("a", "b"):
        one.put({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": name},
                 "spec": {"gatewayClassName": "none", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]}})  # fmt: skip
    one.put(service(router={"gateway": {"refs": [{"name": "a", "namespace": one.place}, {"name": "b", "namespace": one.place}]}, "route": {}, "scheduler": {}}))
    accepted = [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    pool = next(name for kind, name in one.made("InferencePool"))
    # A parent without a namespace is in the pool's.
    one.status("inferencepool", pool, {"parents": [{"parentRef": {"name": "a"}, "conditions": accepted}]})
    assert one.told()["InferencePoolReady"] == ("False", "WaitingForGateway")
    one.status("inferencepool", pool, {"parents": [{"parentRef": {"name": "a"}, "conditions": accepted},
                                                   {"parentRef": {"name": "b", "namespace": one.place}, "conditions": accepted}]})  # fmt: skip
    assert one.told()["InferencePoolReady"][0] == "True"
    one.status("inferencepool", pool, {"parents": None})
    assert one.told()["InferencePoolReady"] == ("False", "WaitingForGateway")


WORKLOADS = {
    "single": (dict(router=ROUTED), {"primary": ("Deployment", "s-kserve"), "service": ("Service", "s-kserve-workload-svc"),
                                     "scheduler": ("Deployment", "s-kserve-router-scheduler")}),
    "split": (dict(prefill={"replicas": 1}, router=ROUTED), {"primary": ("Deployment", "s-kserve"), "prefill": ("Deployment", "s-kserve-prefill"),
                                                            "scheduler": ("Deployment", "s-kserve-router-scheduler")}),
    "mixed": (dict(prefill={"parallelism": {"data": 2, "dataLocal": 1}, "worker": MAIN, "template": MAIN}, router=ROUTED),
              {"primary": ("Deployment", "s-kserve"), "prefill": ("LeaderWorkerSet", "s-kserve-mn-prefill")}),
    "multi": (dict(parallelism={"data": 2, "dataLocal": 1}, worker=MAIN, template=MAIN), {"primary": ("LeaderWorkerSet", "s-kserve-mn")}),
}  # fmt: skip


@pytest.mark.parametrize("topology", WORKLOADS)
def test_the_status_names_the_workloads_of(one, topology):
    spec, wanted = WORKLOADS[topology]
    one.put(service(**spec))
    found = one.get()["status"]["workloads"]
    assert {role: (found[role]["kind"], found[role]["name"]) for role in wanted} == wanted
    if "prefill" not in spec:
        assert "prefill" not in found
    if "router" not in spec:
        assert "scheduler" not in found
    one.plane.kubectl("label", "llmisvc", "s", "-n", one.place, "touched=yes")
    one.controller.settle()
    assert one.get()["status"]["workloads"] == found
    one.annotate("serving.kserve.io/stop=true")
    assert "workloads" not in one.get()["status"]


def test_scalers_come_and_go_with_what_they_scale(one):
    scaling = {"minReplicas": 1, "maxReplicas": 3}
    hpa = {**scaling, "wva": {"variantCost": "40.0", "hpa": {}}}
    one.put(service(scaling=hpa))
    assert len(one.made("HorizontalPodAutoscaler")) == 1
    assert "ScalingReady" in one.told() and "PrefillScalingReady" not in one.told()
    one.put(service(scaling=hpa, prefill={"scaling": hpa}))
    assert len(one.made("HorizontalPodAutoscaler")) == 2
    assert "PrefillScalingReady" in one.told()  # llmisvc:I12
    one.put(service(scaling=hpa, prefill={"replicas": 1}))
    assert len(one.made("HorizontalPodAutoscaler")) == 1
    assert "PrefillScalingReady" not in one.told()
    one.annotate("serving.kserve.io/stop=true")
    assert one.made("HorizontalPodAutoscaler") == set()
    one.annotate("serving.kserve.io/stop-")
    assert len(one.made("HorizontalPodAutoscaler")) == 1
    one.put(service(prefill={"replicas": 1}))
    assert one.made("HorizontalPodAutoscaler") == set()
    assert not {"ScalingReady", "PrefillScalingReady"} & set(one.told())


def test_a_scaler_that_cannot_be_is_told_and_nothing_after_it_is_made(one):
    """KEDA's definitions are not installed here; WVA's trigger needs an address of Prometheus, which the installation does not give."""
    triggers = [{"type": "cpu", "metadata": {"value": "50"}}]
    one.put(service(scaling={"minReplicas": 1, "maxReplicas": 3, "keda": {"triggers": triggers}}, router=ROUTED))
    assert one.told()["MainWorkloadReady"] == ("False", "ScalingCRDNotFound")
    one.put(service(scaling={"minReplicas": 1, "maxReplicas": 3, "wva": {"keda": {}}}, router=ROUTED))
    assert one.told()["MainWorkloadReady"] == ("False", "ReconcileScalingError")
    assert {"ScalingCRDNotFound", "Error"} <= {event["reason"] for event in one.plane.get("events", "-n", one.place)["items"]}
    assert one.made("HTTPRoute") == set()


def test_tokenizer_objects_go_with_the_tokenizer(one):
    scheduler = {"tokenizer": {}}
    one.put(service(router={"gateway": {}, "route": {}, "scheduler": scheduler}))
    tokenizer = {key for key in one.made() if key[1].startswith("s-tokenizer")}
    assert {"Deployment", "Service"} <= {kind for kind, _ in tokenizer}
    assert "TokenizerReady" in one.told()
    one.put(service(router=ROUTED))
    assert not tokenizer & one.made()
    assert "TokenizerReady" not in one.told()
    one.put(service(router={"gateway": {}, "route": {}, "scheduler": scheduler}))
    one.annotate("serving.kserve.io/stop=true")
    assert not tokenizer & one.made()
    assert one.told()["TokenizerReady"] == ("False", "Stopped")


def test_gateways_and_routes_that_do_not_exist_are_named(one):  # llmisvc:D07
    one.put(service(router={"gateway": {"refs": [{"name": "nowhere", "namespace": one.place}]}, "route": {}, "scheduler": {}}))
    assert one.told()["RouterReady"] == ("False", "RefsInvalid")
    one.put(service(router={"route": {"http": {"refs": [{"name": "no-route"}]}}}))
    assert one.told()["RouterReady"] == ("False", "RefsInvalid")
    message = next(c["message"] for c in one.get()["status"]["conditions"] if c["type"] == "RouterReady")
    assert "no-route" in message
    # A route that is there, but of a gateway that is not.
    one.put({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "no-route"},
             "spec": {"parentRefs": [{"name": "lost"}], "rules": []}})  # fmt: skip
    wait_until(lambda: "lost" in json.dumps(one.get()["status"]["conditions"]), "the missing parent named", 30, step=0.2)
    assert one.told()["RouterReady"] == ("False", "RefsInvalid")
    # And a rule of one's own.
    one.put(service(router={"route": {"http": {"spec": {"parentRefs": [{"name": "gone"}], "rules": []}}}}))
    assert one.told()["RouterReady"] == ("False", "RefsInvalid")
    assert "gone" in json.dumps(one.get()["status"]["conditions"])
