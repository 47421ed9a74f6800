"""An engine for tests of routing, to run as a pod's container: names itself and tells what it was asked. Adapters are those of
`--lora-modules`, as the planner writes them. `PUT /waiting/N` makes its metrics tell of N waiting requests, `PUT /holding/1` has answers wait
for `PUT /holding/0`."""

import http.server
import json
import os
import sys
import threading

adapters = []
if "--lora-modules" in sys.argv:
    for word in sys.argv[sys.argv.index("--lora-modules") + 1 :]:
        if word.startswith("--"):
            break
        adapters.append(json.loads(word)["name"] if word.startswith("{") else word.split("=")[0])
waiting = 0
may_answer = threading.Event()
may_answer.set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/metrics":
            text = f"vllm:num_requests_waiting {waiting}\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0\n"
            return self.reply(text, "text/plain")
        if self.path == "/v1/models":
            models = [os.environ["MODEL"], *adapters]
            return self.reply(json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in models]}))
        self.reply("{}")

    def do_PUT(self):
        global waiting
        what, number = self.path.removeprefix("/").split("/")
        if what == "waiting":
            waiting = int(number)
        elif number == "0":
            may_answer.set()
        else:
            may_answer.clear()
        self.reply("{}")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        may_answer.wait()
        self.reply(json.dumps({
            "pod": os.environ["POD_NAME"], "path": self.path, "model": body["model"], "adapters": adapters, "object": "chat.completion",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }))  # fmt: skip

    def reply(self, text, kind="application/json"):
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((os.environ["BATON_POD_IP"], 8000), Handler).serve_forever()
