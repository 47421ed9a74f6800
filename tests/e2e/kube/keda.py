"""KEDA as far as the controller sees it: the definition of its ScaledObjects, cut down to what the controller writes and reads."""

_NUMBER = {"type": "integer"}
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_CONDITION = {"type": "object", "required": ["type", "status"],
              "properties": {name: {"type": "string"} for name in ("type", "status", "reason", "message")}}  # fmt: skip
_SPEC = {
    "type": "object", "required": ["scaleTargetRef", "triggers"],
    "properties": {
        "scaleTargetRef": {"type": "object", "required": ["name"],
                           "properties": {name: {"type": "string"} for name in ("apiVersion", "kind", "name", "envSourceContainerName")}},
        **dict.fromkeys(("minReplicaCount", "maxReplicaCount", "idleReplicaCount", "pollingInterval", "cooldownPeriod",
                         "initialCooldownPeriod"), _NUMBER),
        "fallback": {"type": "object", "required": ["failureThreshold", "replicas"],
                     "properties": {"failureThreshold": _NUMBER, "replicas": _NUMBER, "behavior": {"type": "string"}}},
        "advanced": _ANYTHING,
        "triggers": {"type": "array", "items": {
            "type": "object", "required": ["type", "metadata"],
            "properties": {"type": {"type": "string"}, "name": {"type": "string"}, "metricType": {"type": "string"},
                           "metadata": {"type": "object", "additionalProperties": {"type": "string"}}, "authenticationRef": _ANYTHING}}},
    },
}  # fmt: skip
# Fields that are not named are dropped by the server, as they are by KEDA's own: a slip of the controller shows as a write on every pass.
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh", "scope": "Namespaced",
        "names": {"kind": "ScaledObject", "listKind": "ScaledObjectList", "plural": "scaledobjects", "singular": "scaledobject", "shortNames": ["so"]},
        "versions": [{
            "name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {
                "spec": _SPEC, "status": {"type": "object", "properties": {"conditions": {"type": "array", "items": _CONDITION}}}}}},
        }],
    },
}  # fmt: skip
