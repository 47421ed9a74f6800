"""A Hugging Face hub on this machine that does what a test tells it to, faults included.

Small files come after a relative redirect, weights from a second server (the storage) behind an absolute
one, as the real hub's do."""
import hashlib
import http.server
import json
import ssl
import threading
import urllib.parse

COMMIT = "c0ffee" * 6 + "0001"


def git_blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        fault = server.next_fault(self.path)
        try:
            if fault is None or not fault(self):
                server.answer(self)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def reply(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def range_start(self):
        given = self.headers.get("Range", "")
        return int(given.removeprefix("bytes=").removesuffix("-")) if given else None

    def file(self, content, etag, honours_ranges=True, send=None):
        """`content`, or its rest; of it only the first `send` bytes, then the connection breaks."""
        first = self.range_start() if honours_ranges else None
        if first is not None and first >= len(content):
            return self.reply(416)
        part = content[first or 0:]
        self.send_response(206 if first is not None else 200)
        self.send_header("Content-Length", len(part))
        self.send_header("ETag", f'"{etag}"')
        if first is not None:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part[:send])
        if send is not None:
            self.wfile.flush()
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self._faults = []
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_):
        pass  # clients that leave are what tests are about

    def fault(self, part, *faults):
        """The next requests whose path contains `part` meet these, one each."""
        self._faults.extend((part, fault) for fault in faults)

    def next_fault(self, path):
        for at, (part, fault) in enumerate(self._faults):
            if part in path:
                del self._faults[at]
                return fault
        return None

    def asked(self, part):
        return [(path, headers) for path, headers in self.requests if part in path]


class Storage(Server):
    """Where large files are: /<sha256>."""

    def __init__(self, *arguments):
        self.contents = {}
        super().__init__(*arguments)

    def answer(self, handler):
        digest = handler.path.lstrip("/").partition("?")[0]
        handler.file(self.contents[digest], digest)


class Hub(Server):
    """`files` of one model, test/model: name to bytes. `token`: what it asks for, if anything."""

    def __init__(self, files, token=None, certificate=None, storage_certificate=None):
        self.files = files
        self.token = token
        self.commit = COMMIT
        self.page = 3  # entries of one page
        self.extra_entries = []
        self.storage = Storage(storage_certificate)
        super().__init__(certificate)

    def is_large(self, name):
        return name.endswith(".safetensors")

    def entries(self):
        out = [{"type": "directory", "path": "onnx", "oid": "0" * 40, "size": 0}, *self.extra_entries]
        for name, content in sorted(self.files.items()):
            entry = {"type": "file", "path": name, "oid": git_blob(content), "size": len(content)}
            if self.is_large(name):
                entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
            out.append(entry)
        return out

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            return handler.reply(401, b'{"error":"x"}', {"X-Error-Message": "Invalid credentials"})
        if url.path in ("/api/models/test/model/revision/main", f"/api/models/test/model/revision/{self.commit}"):
            return handler.reply(200, json.dumps({"id": "test/model", "sha": self.commit}).encode())
        if url.path.startswith("/api/models/test/model/revision/"):
            return handler.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if url.path == f"/api/models/test/model/tree/{self.commit}":
            return self.tree(handler, urllib.parse.parse_qs(url.query))
        for prefix in (f"/test/model/resolve/{self.commit}/", "/cache/"):
            name = urllib.parse.unquote(url.path.removeprefix(prefix))
            if url.path.startswith(prefix) and name in self.files:
                return self.resolve(handler, name, prefix)
        return handler.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def tree(self, handler, query):
        entries, start = self.entries(), int(query.get("cursor", ["0"])[0])
        headers = {}
        if start + self.page < len(entries):
            headers["Link"] = (f'<{self.url}/api/models/test/model/tree/{self.commit}?recursive=true'
                               f'&cursor={start + self.page}>; rel="next"')
        handler.reply(200, json.dumps(entries[start:start + self.page]).encode(), headers)

    def resolve(self, handler, name, prefix):
        content = self.files[name]
        if self.is_large(name):
            self.storage.contents[sha256(content)] = content
            return handler.reply(302, headers={"Location": f"{self.storage.url}/{sha256(content)}?signed",
                                               "X-Linked-Etag": f'"{sha256(content)}"'})
        if prefix != "/cache/":
            return handler.reply(307, headers={"Location": f"/cache/{name}"})
        return handler.file(content, git_blob(content))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in (self, self.storage):
            server.shutdown()
            server.server_close()


def status(code, headers=None, body=b"{}"):
    return lambda handler: handler.reply(code, body, headers) or True


def cut(content, after, etag="cut", honours_ranges=True):
    """The first `after` bytes of what was asked for, then the connection breaks."""
    return lambda handler: handler.file(content, etag, honours_ranges, send=after) or True


def whole(content, etag="other", honours_ranges=True):
    return lambda handler: handler.file(content, etag, honours_ranges) or True


def hold(content, after, until):
    """The first `after` bytes, then nothing before `until` is set; then the rest."""
    def fault(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", len(content))
        handler.end_headers()
        handler.wfile.write(content[:after])
        handler.wfile.flush()
        until.wait(20)
        handler.wfile.write(content[after:])
        return True
    return fault
