"""What deploy/ installs: the chart, the plain manifests, the image's root filesystem, and the rights they give."""

import json
import os
import re
import subprocess
from pathlib import Path

import yaml
from helm_program import helm

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/baton"
BATON = os.environ["BATON"]
EVERYTHING = [f"--set={name}.enabled=true" for name in ("serviceMonitor", "alerts", "dashboard")]


def render(*arguments, chart=CHART, namespace="kserve"):
    command = [helm(), "template", "baton", chart, "--namespace", namespace, "--kube-version", "1.34", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def the(kind, documents):
    found = [document for document in documents if document["kind"] == kind]
    assert len(found) == 1, f"{len(found)} {kind}"
    return found[0]


def metric_names():
    """Every metric a program of ours can expose, from the sources."""
    names = set()
    for file in (ROOT / "src").rglob("*.?pp"):
        if not file.name.endswith("_test.cpp"):
            names |= set(re.findall(r'"((?:baton_|vllm:)[a-z0-9_]+)"', file.read_text()))
    return names


def test_the_chart_has_no_complaints():
    done = subprocess.run([helm(), "lint", "--strict", CHART], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_plain_manifests_are_the_chart_with_its_defaults():
    committed = list(yaml.safe_load_all((ROOT / "deploy/manifests/controller.yaml").read_text()))
    assert [d for d in committed if d] == render(), "run tools/manifests"


def test_definitions_follow_the_release_namespace_and_survive_it(tmp_path):
    chart = ROOT / "build/chart/baton"
    subprocess.run([ROOT / "tools/chart"], check=True, env={**os.environ, "BATON": BATON}, capture_output=True)
    documents = render(chart=chart, namespace="models")
    definitions = [d for d in documents if d["kind"] == "CustomResourceDefinition"]
    assert [d["spec"]["names"]["kind"] for d in definitions] == ["LLMInferenceService", "LLMInferenceServiceConfig"]
    for definition in definitions:
        assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert definition["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["namespace"] == "models"
    for hooks in (d for d in documents if d["kind"].endswith("WebhookConfiguration")):
        assert "annotations" not in hooks["metadata"]
        assert {h["clientConfig"]["service"]["namespace"] for h in hooks["webhooks"]} == {"models"}


def test_pods_of_services_run_the_image_that_the_controller_does():
    documents = render("--set=image.repository=registry.example.org/baton")
    (manager,) = the("Deployment", documents)["spec"]["template"]["spec"]["containers"]
    settings = next(d for d in documents if d["kind"] == "ConfigMap" and d["metadata"]["name"] == "inferenceservice-config")
    assert json.loads(settings["data"]["images"]) == {"baton": manager["image"]}
    planned = subprocess.run([BATON, "plan", "-f", ROOT / "examples/kserve/cpu-routed.yaml", "-f", "-", "-o", "json"], input=json.dumps(settings),
                             capture_output=True, text=True, check=True).stdout  # fmt: skip
    pods = [item["spec"]["template"]["spec"] for item in json.loads(planned)["items"] if item["kind"] == "Deployment"]
    images = {container["name"]: container["image"] for pod in pods for container in pod["containers"] + pod.get("initContainers", [])}
    assert images.pop("storage-initializer", "").startswith("kserve/") and set(images.values()) == {manager["image"]}, images


def test_webhooks_name_the_service_that_the_chart_makes():
    printed = subprocess.run([BATON, "crds", "--webhooks"], capture_output=True, text=True, check=True).stdout
    hooks = [d for d in yaml.safe_load_all(printed) if d and d["kind"].endswith("WebhookConfiguration")]
    services = {d["metadata"]["name"]: d for d in render() if d["kind"] == "Service"}
    for hook in (h for d in hooks for h in d["webhooks"]):
        address = hook["clientConfig"]["service"]
        assert address["port"] in [p["port"] for p in services[address["name"]]["spec"]["ports"]]
    rules = the("ClusterRole", render())["rules"]
    hook_rules = [rule for rule in rules if "mutatingwebhookconfigurations" in rule.get("resources", [])]
    named = {name for rule in hook_rules for name in rule.get("resourceNames", [])}
    assert named == {d["metadata"]["name"] for d in hooks}


def test_alerts_and_dashboard_ask_for_metrics_that_exist():
    documents = render(*EVERYTHING)
    rules = the("PrometheusRule", documents)["spec"]["groups"][0]["rules"]
    board = next(d for d in documents if d["kind"] == "ConfigMap" and d["metadata"]["name"] == "baton-dashboard")
    panels = json.loads(board["data"]["baton.json"])["panels"]
    queries = [r["expr"] for r in rules] + [t["expr"] for p in panels for t in p.get("targets", [])]
    asked = {name for q in queries for name in re.findall(r"\b(?:baton_|vllm:)[a-z0-9_]+", q)}
    assert len(asked) > 10
    known = metric_names()
    unknown = {n for n in asked if n not in known and re.sub(r"_(bucket|sum|count)$", "", n) not in known}
    assert not unknown
    assert all(rule["annotations"]["action"] for rule in rules)


def test_engines_are_scraped_as_they_serve():
    def endpoint(*arguments):
        documents = render("--set=serviceMonitor.enabled=true", *arguments)
        monitor = next(d for d in documents if d["kind"] == "PodMonitor" and d["metadata"]["name"] == "llminferenceservices")
        (only,) = (e for e in monitor["spec"]["podMetricsEndpoints"] if "port" not in e)
        return only.get("scheme"), only.get("tlsConfig")

    plain, encrypted = (None, None), ("https", {"insecureSkipVerify": True})
    tls = "--set-json=settings.data.ingress=" + json.dumps(json.dumps({"enableLLMInferenceServiceTLS": True}))
    assert endpoint() == plain
    assert endpoint(tls) == encrypted
    assert endpoint(tls, "--set=serviceMonitor.engineScheme=http") == plain
    # KServe's ConfigMap decides, which a chart does not see.
    assert endpoint(tls, "--set=settings.create=false") == plain
    assert endpoint("--set=settings.create=false", "--set=serviceMonitor.engineScheme=https") == encrypted


def test_sidecars_are_scraped_where_the_planner_has_them_serve():
    tls = "--set-json=settings.data.ingress=" + json.dumps(json.dumps({"enableLLMInferenceServiceTLS": True}))
    documents = render("--set=serviceMonitor.enabled=true", tls)
    monitor = next(d for d in documents if d["kind"] == "PodMonitor" and d["metadata"]["name"] == "llminferenceservices")
    (endpoint,) = (e for e in monitor["spec"]["podMetricsEndpoints"] if "port" in e)
    assert "scheme" not in endpoint
    command = [BATON, "plan", "--tls", "-f", ROOT / "examples/quickstart.yaml", "-o", "json"]
    planned = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["items"]
    templates = [item["spec"]["template"] for item in planned if item["kind"] == "Deployment"]
    ports = [(template["metadata"]["labels"], container["command"], port["containerPort"])
             for template in templates for container in template["spec"].get("initContainers", [])
             for port in container.get("ports", []) if port.get("name") == endpoint["port"]]  # fmt: skip
    ((labels, command, number),) = ports
    assert f"--metrics-port={number}" in command
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_training_server_in_a_picker_s_pod_is_scraped_as_it_serves():
    tls = "--set-json=settings.data.ingress=" + json.dumps(json.dumps({"enableLLMInferenceServiceTLS": True}))
    documents = render("--set=serviceMonitor.enabled=true", tls)
    monitors = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "PodMonitor"}
    engines, pickers = monitors["llminferenceservices"], monitors["llminferenceservice-pickers"]
    picker = pickers["selector"]["matchLabels"]["app.kubernetes.io/component"]
    (others,) = engines["selector"]["matchExpressions"]
    assert others == {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": [picker]}
    (training,) = (e for e in pickers["podMetricsEndpoints"] if e["port"] == "training-port")
    assert "scheme" not in training and "authorization" not in training


def test_the_api_server_takes_every_object_and_the_pod_is_restricted(plane):
    if not plane.kubectl("get", "namespace", "kserve", "--ignore-not-found"):
        plane.kubectl("create", "namespace", "kserve")
    plane.kubectl("label", "namespace", "kserve", "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    plane.wait_for("serviceaccount", "default", "kserve")
    documents = render("--set=dashboard.enabled=true")
    text = yaml.safe_dump_all(documents)
    plane.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", input=text)
    plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all([the("ServiceAccount", documents)]))
    template = the("Deployment", documents)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "as-deployed", "namespace": "kserve"}, "spec": template["spec"]}
    plane.kubectl("create", "--dry-run=server", "-f", "-", input=yaml.safe_dump(pod))


def test_the_image_s_root_runs_the_binary_as_nobody_special():
    root = ROOT / "build/root"  # made by tools/e2e-kube, where there is a network
    subprocess.run([ROOT / "deploy/image/rootfs", root], check=True, env={**os.environ, "BATON": BATON}, timeout=60)
    done = subprocess.run(["chroot", "--userspec=1000:1000", root, "/usr/bin/baton", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "controller" in done.stdout
    for name in ("usr/bin/vllm", "app/pd-sidecar", "app/epp"):
        assert (root / name).is_symlink()
    dockerfile = (ROOT / "deploy/image/Dockerfile").read_text()
    assert "deploy/image/packages" in dockerfile and "USER 1000:1000" in dockerfile
