"""Reading from the API server without kubectl, whose every call starts a program of 129 MB: one kept connection for each thread."""

import http.client
import json
import ssl
import threading
from urllib.parse import quote, urlencode

from part import wait_until

SECONDS = 60
NO_ANSWER, NO_SUCH_TYPE = 0, -1  # beside HTTP's statuses
TOO_MANY_REQUESTS = 429
# Every group with its resources, in one answer.
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Refused(AssertionError):
    """The server's answer, or that there was none."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class Api:
    def __init__(self, port: int, authority, token: str):
        self.port, self.token = port, token
        self._context = ssl.create_default_context(cafile=str(authority))
        self._local = threading.local()
        self._resources: dict = {}

    # --- one request

    def request(self, method: str, path: str, body=None, kind: str = "application/json", accept: str = "application/json") -> dict:
        """A server that has just started may ask to come again: as every client of Kubernetes, this one does."""

        def answered():
            try:
                return self._request_once(method, path, body, kind, accept)
            except Refused as answer:
                if answer.status != TOO_MANY_REQUESTS:
                    raise
            return None

        return wait_until(answered, f"an answer to {method} {path}", SECONDS, step=0.5)

    def _request_once(self, method: str, path: str, body, kind: str, accept: str) -> dict:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept, "Content-Type": kind}
        text = None if body is None else json.dumps(body)
        for is_last in (False, True):
            connection = getattr(self._local, "connection", None)
            is_last = is_last or connection is None
            if connection is None:
                connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=SECONDS, context=self._context)
                self._local.connection = connection
            try:
                connection.request(method, path, text, headers)
                answer = connection.getresponse()
                said = answer.read()
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._local.connection = None  # a kept one may be of a server that has ended
                if is_last:
                    raise Refused(NO_ANSWER, f"{method} {path}: {error!r}") from None
        if answer.status >= 300:
            raise Refused(answer.status, f"{method} {path}: {answer.status} {said.decode(errors='replace')[:500]}")
        return json.loads(said)

    # --- what a resource's name means

    def _discover(self):
        found = {}
        for root in ("/api", "/apis"):  # of two resources with one name the first is meant, as by kubectl
            for group in self.request("GET", root, accept=DISCOVERY)["items"]:
                name = group["metadata"].get("name", "")
                for version in group["versions"]:  # the preferred one first
                    for item in version.get("resources", []):
                        self._note(found, name, version["version"], item)
        self._resources = found

    @staticmethod
    def _note(found: dict, group: str, version: str, item: dict):
        plural = item["resource"]
        base = f"/apis/{group}/{version}" if group else f"/api/{version}"
        what = base, plural, item["scope"] == "Namespaced", item["responseKind"]["kind"], f"{group}/{version}" if group else version
        for name in {plural, item.get("singularResource", ""), item["responseKind"]["kind"].lower(), *item.get("shortNames", [])}:
            for written in (name, f"{name}.{group}", f"{name}.{version}.{group}"):
                found.setdefault(written, what)

    def resource(self, name: str) -> tuple:
        """(path of group and version, plural, is namespaced, kind, apiVersion)"""
        if name.lower() not in self._resources:
            self._discover()
        if name.lower() not in self._resources:
            raise Refused(NO_SUCH_TYPE, f"the server has no resource type {name!r}")
        return self._resources[name.lower()]

    def serves(self, name: str) -> bool:
        try:
            return bool(self.resource(name))
        except Refused as answer:
            if answer.status == NO_SUCH_TYPE:
                return False
            raise

    def path(self, kind: str, namespace: str | None, name: str = "") -> str:
        base, plural, is_namespaced, _, _ = self.resource(kind)
        scope = f"/namespaces/{quote(namespace)}" if is_namespaced and namespace else ""
        return f"{base}{scope}/{plural}" + (f"/{quote(name)}" if name else "")

    # --- objects

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict:
        return self.request("GET", self.path(kind, namespace, name))

    def list(self, kinds: str, namespace: str | None = None, selector: str = "") -> list[dict]:
        """Of kinds with commas between them; without a namespace everywhere."""
        out = []
        query = "?" + urlencode({"labelSelector": selector}) if selector else ""
        for kind in kinds.split(","):
            _, _, _, name, version = self.resource(kind)
            for item in self.request("GET", self.path(kind, namespace) + query)["items"]:
                out.append({"apiVersion": version, "kind": name, **item})
        return out

    def watch(self, kind: str, namespace: str, version: str) -> dict:
        """The first event after that version; an error event is raised."""
        path = f"{self.path(kind, namespace)}?watch=1&timeoutSeconds=5&resourceVersion={version}"
        event = self.request("GET", path)
        if event["type"] == "ERROR":
            raise Refused(event["object"]["code"], event["object"]["message"])
        return event
