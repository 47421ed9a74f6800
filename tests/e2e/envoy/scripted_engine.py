"""Engines of one stage each that say what they were asked: for what our own engine has no stage for."""
import collections
import contextlib
import http.server
import json
import socket
import threading

from gateway import read_body

METRICS = b"vllm:num_requests_waiting 0\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0\n"
Asked = collections.namedtuple("Asked", "path headers body")


class ScriptedEngine:
    """`answer(Asked)` gives the JSON of each answer; a request for a stream gets it as its only event. It also plays the service that
    tells Mooncake's engine ids."""

    def __init__(self, answer):
        engine = self
        engine.asked = []
        engine.more = threading.Condition()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path == "/query":
                    return self.reply(json.dumps({"0": {"engine_id": "engine-0"}}).encode())
                self.reply(METRICS if self.path == "/metrics" else b"{}", "text/plain")

            def do_POST(self):
                body = json.loads(read_body(self))
                asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                with engine.more:
                    engine.asked.append(asked)
                    engine.more.notify_all()
                text = json.dumps(answer(asked))
                if body.get("stream"):
                    return self.reply(f"data: {text}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")
                self.reply(text.encode())

            def reply(self, body, kind="application/json"):
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, least=0):
        """What it was asked since the last call; waits for `least`: legs of one request may go out side by side."""
        with self.more:
            self.more.wait_for(lambda: len(self.asked) >= least, 10)
            asked, self.asked = self.asked, []
        return asked

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def encoding(asked):
    return {"ec_transfer_params": {json.dumps(asked.body.get("messages", asked.body.get("features"))): {"peer_port": 5501}}}


def side_channel():
    """The port of one that takes connections, as vLLM's does: sidecars look before decode waits for it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def take():
        while True:
            listening.accept()[0].close()

    threading.Thread(target=take, daemon=True).start()
    return listening.getsockname()[1]


SIDE_CHANNEL = side_channel()


def prefilling(_):
    return {"choices": [{"index": 0, "finish_reason": "length"}], "usage": {"prompt_tokens": 9, "completion_tokens": 1},
            "kv_transfer_params": {"do_remote_prefill": True, "do_remote_decode": False, "remote_engine_id": "engine-0",
                                   "remote_block_ids": [1, 2], "remote_host": "127.0.0.1", "remote_port": SIDE_CHANNEL}}


def decoding(_):
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "decoded"}, "text": "decoded"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2}}


class Store:
    """What prefill engines have written and decode engines find, by prompt."""

    def __init__(self):
        self.prompts = set()

    def prefilling(self, asked):
        self.prompts.add(asked.body["prompt"])
        return {"choices": [{"index": 0, "finish_reason": "length", "text": "x"}]}

    def decoding(self, asked):
        if asked.body.get("cache_hit_threshold", 0) > 0 and asked.body["prompt"] not in self.prompts:
            return {"choices": [{"index": 0, "finish_reason": "cache_threshold", "text": ""}]}
        return decoding(asked)
