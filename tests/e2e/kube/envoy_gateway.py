"""A gateway for tests: real Envoy that follows a cluster's HTTPRoutes. Pools go through their endpoint pickers (ext_proc), rules and
weights are Envoy's own; this only writes them down, in files that Envoy watches.

    front = EnvoyGateway(plane, folder)
    with Stack(plane, folder, ..., front=front):
        front.ask("POST", "/llm/chat/v1/chat/completions", {...})

As the Gateway API and its inference extension have it: an exact path before a prefix, a longer prefix before a shorter one, then more headers,
then the older route; a pool's picker by its Service, `failureMode: FailOpen` where a picker does not answer. Only what the routes of this
project hold is known: another filter or match fails the test."""

import http.client
import json
import re
import threading
from pathlib import Path

from part import Part, answers, free_port, wait_until

ROOT = Path(__file__).resolve().parents[3]
PICK = "x-gateway-destination-endpoint"  # what pickers answer with
EXT_PROC = "envoy.filters.http.ext_proc"
TYPE = "type.googleapis.com/envoy"
POLL_SECONDS = 0.2
KINDS = "httproute,inferencepool.v1.inference.networking.k8s.io,inferencepool.v1alpha2.inference.networking.x-k8s.io,service,endpointslice"


def envoy_program() -> str:
    (found,) = (ROOT / "build/venv-envoy").glob("lib/python*/site-packages/envoy/_bin/envoy")
    return str(found)


# --- what the cluster says, as tables ---------------------------------------------------------------------------------------


def key(item: dict) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


class Cluster:
    """One look at everything that routes lead to."""

    def __init__(self, items: list[dict], pods: list[dict]):
        self.pods = pods
        self.routes = [item for item in items if item["kind"] == "HTTPRoute"]
        self.pools = {(item["apiVersion"].split("/")[0], *key(item)): item["spec"] for item in items if item["kind"] == "InferencePool"}
        self.services = {key(item): item["spec"] for item in items if item["kind"] == "Service"}
        self.slices = [item for item in items if item["kind"] == "EndpointSlice"]

    def endpoints_of_service(self, namespace: str, name: str, port: int) -> list[tuple[str, int]]:
        """Ready ones, at the target of the Service's port."""
        spec = self.services.get((namespace, name), {"ports": []})
        names = {entry.get("name", "") for entry in spec["ports"] if entry["port"] == port}
        found = set()
        for one in self.slices:
            if one["metadata"]["namespace"] != namespace or one["metadata"]["labels"].get("kubernetes.io/service-name") != name:
                continue
            ports = [entry["port"] for entry in one.get("ports") or [] if entry.get("name", "") in names]
            ready = [end["addresses"][0] for end in one.get("endpoints") or [] if end["conditions"].get("ready")]
            found |= {(address, number) for address in ready for number in ports}
        return sorted(found)

    def endpoints_of_pool(self, namespace: str, spec: dict) -> list[tuple[str, int]]:
        selector = spec["selector"].get("matchLabels", spec["selector"])
        ports = [entry["number"] for entry in spec.get("targetPorts", [])] or [spec["targetPortNumber"]]
        out = []
        for pod in self.pods:
            labels = pod["metadata"].get("labels", {})
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
            if pod["metadata"]["namespace"] == namespace and ready and "deletionTimestamp" not in pod["metadata"] and selector.items() <= labels.items():
                out += [(pod["status"]["podIP"], port) for port in ports]
        return sorted(out)


# --- the same for Envoy -----------------------------------------------------------------------------------------------------


class Translation:
    """Resources for Envoy's files: routes, clusters, endpoints."""

    def __init__(self, cluster: Cluster):
        self.cluster, self.clusters, self.endpoints = cluster, {}, {}
        rules = [one for route in cluster.routes for rule in route["spec"].get("rules", []) for one in self._rules(route, rule)]
        self.routes = [entry for _, entry in sorted(rules, key=lambda pair: pair[0])]

    def _rules(self, route: dict, rule: dict):
        namespace = route["metadata"]["namespace"]
        age = route["metadata"]["creationTimestamp"], *key(route)
        backends = [self._backend(namespace, ref) for ref in rule.get("backendRefs", []) if ref.get("weight", 1) > 0]
        backends = [one for one in backends if one]
        for match in rule.get("matches") or [{}]:
            path, headers = match.get("path", {"type": "PathPrefix", "value": "/"}), match.get("headers", [])
            assert set(match) <= {"path", "headers"} and all(header["type"] == "Exact" for header in headers), match
            exact = path["type"] == "Exact"
            entry = {"match": self._match(path, headers)}
            if backends:
                entry["route"] = {"weighted_clusters": {"clusters": backends}, "timeout": self._timeout(rule), "retry_policy": {"retry_on": "connect-failure"},
                                  **self._rewrite(path, rule.get("filters", []))}  # fmt: skip
            else:
                entry["direct_response"] = {"status": 500, "body": {"inline_string": "no backend with a weight"}}
            yield (not exact, -len(path["value"]), -len(headers), *age), entry

    @staticmethod
    def _timeout(rule: dict) -> str:
        wanted = rule.get("timeouts", {}).get("request", "0s")
        assert re.fullmatch(r"[0-9]+s", wanted), wanted
        return wanted

    @staticmethod
    def _match(path: dict, headers: list) -> dict:
        value = path["value"]
        out = {"path": value} if path["type"] == "Exact" else {"prefix": "/"} if value == "/" else {"path_separated_prefix": value.rstrip("/")}
        if headers:
            out["headers"] = [{"name": header["name"].lower(), "string_match": {"exact": header["value"]}} for header in headers]
        return out

    @staticmethod
    def _rewrite(path: dict, filters: list) -> dict:
        if not filters:
            return {}
        (one,) = filters
        to = one["urlRewrite"]["path"]["replacePrefixMatch"]
        assert one["type"] == "URLRewrite" and path["type"] == "PathPrefix", filters
        if to != "/":
            return {"prefix_rewrite": to}
        return {"regex_rewrite": {"pattern": {"regex": f"^{re.escape(path['value'])}/*"}, "substitution": "/"}}

    def _backend(self, namespace: str, ref: dict) -> dict | None:
        weight = ref.get("weight", 1)
        if ref.get("kind", "Service") == "Service":
            name = f"service/{namespace}/{ref['name']}/{ref['port']}"
            self._add(name, self.cluster.endpoints_of_service(namespace, ref["name"], ref["port"]))
            return {"name": name, "weight": weight}
        spec = self.cluster.pools.get((ref["group"], namespace, ref["name"]))
        if spec is None:
            return None
        name = f"pool/{namespace}/{ref['name']}"
        self._add(name, self.cluster.endpoints_of_pool(namespace, spec), OVERRIDE_HOST)
        picker = spec.get("endpointPickerRef") or spec["extensionRef"]
        port = picker.get("port", {}).get("number") or picker.get("portNumber", 9002)
        at = f"picker/{namespace}/{picker['name']}/{port}"
        self._add(at, self.cluster.endpoints_of_service(namespace, picker["name"], port), HTTP2_TLS)
        overrides = {"grpc_service": {"envoy_grpc": {"cluster_name": at, "authority": "picker"}},
                     "failure_mode_allow": picker.get("failureMode") == "FailOpen"}  # fmt: skip
        return {"name": name, "weight": weight,
                "typed_per_filter_config": {EXT_PROC: {"@type": f"{TYPE}.extensions.filters.http.ext_proc.v3.ExtProcPerRoute", "overrides": overrides}}}  # fmt: skip

    def _add(self, name: str, endpoints: list, more: dict | None = None):
        self.clusters[name] = {"@type": f"{TYPE}.config.cluster.v3.Cluster", "name": name, "type": "EDS", "connect_timeout": "5s",
                               "eds_cluster_config": {"service_name": name, "eds_config": file_source(endpoints_file(name))}, **(more or {})}  # fmt: skip
        self.endpoints[name] = {
            "@type": f"{TYPE}.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(*one)}} for one in endpoints]}],
        }  # fmt: skip

    def files(self) -> dict:
        """In the order in which Envoy may learn of them: what refers comes after what it refers to."""
        route = {"@type": f"{TYPE}.config.route.v3.RouteConfiguration", "name": "all",
                 "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": self.routes}]}  # fmt: skip
        endpoints = {endpoints_file(name): [one] for name, one in self.endpoints.items()}
        return {**endpoints, "clusters.json": list(self.clusters.values()), "routes.json": [route]}


def endpoints_file(cluster: str) -> str:
    """Envoy reads one cluster's endpoints from a file."""
    return f"endpoints-{cluster.replace('/', '-')}.json"


def at(host: str, port: int) -> dict:
    return {"socket_address": {"address": host, "port_value": port}}


def policy(name: str, **config) -> dict:
    kind = "".join(word.capitalize() for word in name.split("_"))
    config = {"@type": f"{TYPE}.extensions.load_balancing_policies.{name}.v3.{kind}", **config}
    return {"policies": [{"typed_extension_config": {"name": f"envoy.load_balancing_policies.{name}", "typed_config": config}}]}


OVERRIDE_HOST = {"load_balancing_policy": policy("override_host", override_host_sources=[{"header": PICK}], fallback_policy=policy("round_robin"))}
HTTP2_TLS = {  # any certificate: pickers sign their own
    "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},
    "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": f"{TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": {"validation_context": {}}}},
}  # fmt: skip


def file_source(name: str) -> dict:
    """Relative to where Envoy was started."""
    return {"resource_api_version": "V3", "path_config_source": {"path": name, "watched_directory": {"path": "."}}}


def bootstrap(port: int, admin: int) -> dict:
    ext_proc = {
        "@type": f"{TYPE}.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": {"envoy_grpc": {"cluster_name": "none"}},  # each pool's own comes with the route
        "processing_mode": {"request_header_mode": "SEND", "response_header_mode": "SEND", "request_body_mode": "BUFFERED",
                            "response_body_mode": "STREAMED", "request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP"},
        "message_timeout": "100s",  # flow control holds requests
    }  # fmt: skip
    manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "front",
        "rds": {"route_config_name": "all", "config_source": file_source("routes.json")},
        "http_filters": [{"name": EXT_PROC, "disabled": True, "typed_config": ext_proc},
                         {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"}}],
    }  # fmt: skip
    listener = {"name": "front", "address": at("127.0.0.1", port),
                "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}  # fmt: skip
    return {"node": {"id": "gateway", "cluster": "gateway"}, "admin": {"address": at("127.0.0.1", admin)},
            "dynamic_resources": {"cds_config": file_source("clusters.json")}, "static_resources": {"listeners": [listener]}}  # fmt: skip


# --- the process ------------------------------------------------------------------------------------------------------------


class EnvoyGateway:
    def __init__(self, plane, folder: Path):
        self.plane, self.folder = plane, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.admin = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "envoy.json").write_text(json.dumps(bootstrap(self.port, self.admin)))
        self._written: dict = {}
        self.part = Part("envoy", ["env", "-C", folder, envoy_program(), "-c", "envoy.json", "--concurrency", "1", "--log-level", "warn",
                                   "--base-id", self.port % 65536, "--drain-time-s", "1"], folder / "envoy.log",
                         lambda: answers(f"http://127.0.0.1:{self.admin}/ready", wanted="LIVE"))  # fmt: skip
        self._ends, self.error = threading.Event(), None
        self._thread = threading.Thread(target=self._follow)

    def _look(self):
        kinds = ",".join(kind for kind in KINDS.split(",") if self.plane.api.serves(kind))
        wanted = Translation(Cluster(self.plane.api.list(kinds), self.plane.api.list("pod"))).files()
        for name, resources in wanted.items():
            if self._written.get(name) == resources:
                continue
            new = self.folder / f".{name}"
            new.write_text(json.dumps({"version_info": str(len(self._written)), "resources": resources}))
            new.rename(self.folder / name)
            self._written[name] = resources

    def _follow(self):
        while not self._ends.wait(POLL_SECONDS):
            try:
                self._look()
            except AssertionError as error:  # told by the test that waits for what did not come
                self.error = error

    def start(self):
        self._look()
        self.part.start()
        self._thread.start()

    def stop(self):
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()
        self.part.stop()

    def tail(self) -> str:
        return f"{self.part.tail()}\n{self.error or ''}"

    # --- as a client

    def ask(self, method: str, path: str, body: dict | None = None, headers: dict | None = None, seconds: float = 60):
        """(status, headers, body: decoded where it is JSON)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            said = answer.read().decode()
        finally:
            connection.close()
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status, answer.headers, json.loads(said) if is_json else said

    def wait_served(self, path: str, body: dict, headers: dict | None = None, seconds: float = 30, saying: str = ""):
        """Until a POST there is answered with 200, and with the header `saying`: routes and endpoints reach Envoy a moment after they are,
        and until then it sends what is for a pod it does not know to any of those it knows."""
        def served():
            got = self.ask("POST", path, body, headers)
            return got[0] == 200 and (not saying or saying in got[1]) and got
        return wait_until(served, f"{path} served", seconds, step=0.2)
