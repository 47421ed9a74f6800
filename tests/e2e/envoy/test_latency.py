"""Pods chosen by predicted latency: the predictor's two servers as one scripted one, found by the variables of the planner's containers."""
import http.server
import json
import threading

import pytest

from gateway import EchoPod, Envoy, Picker, call, completion, wait_until

CONFIG = """
plugins:
- {name: file, type: file-discovery, parameters: {path: ENDPOINTS, watchFile: true}}
- {type: predicted-latency-producer, parameters: {streamingMode: true}}
- {type: slo-headroom-tier-filter, parameters: {epsilonExploreNeg: 0}}
- {type: latency-scorer}
schedulingProfiles: [{name: default, plugins: [{pluginRef: slo-headroom-tier-filter}, {pluginRef: latency-scorer}]}]
"""


class Predictor:
    """Predicts `ttft` milliseconds, by the row, with `status`; keeps what it is taught."""

    def __init__(self, ttft):
        self.ttft, self.status, self.learnt = ttft, 200, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path == "/add_training_data_bulk":
                    outer.learnt += asked["entries"]
                    return self.answer(202, {"message": "ok"})
                assert self.path == "/predict/bulk/strict", self.path
                assert all({"kv_cache_percentage", "input_token_length", "prefix_cache_score"} <= set(row) for row in asked["requests"])
                self.answer(outer.status, {"predictions": [{"ttft_ms": ttft, "tpot_ms": 1.0} for ttft in outer.ttft[: len(asked["requests"])]]})

            def answer(self, status, value):
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://localhost:{self.server.server_address[1]}"


@pytest.fixture
def predictor(monkeypatch):
    made = Predictor([500.0, 50.0])
    for name in ("PREDICTION_SERVER_URL", "TRAINING_SERVER_URL"):
        monkeypatch.setenv(name, made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_requests_go_where_their_times_are_met_and_answers_teach(predictor):  # epp:K021
    with EchoPod() as slow, EchoPod() as fast, Picker([slow.endpoint("a"), fast.endpoint("b")], CONFIG) as picker:
        with Envoy(picker, [slow.port, fast.port]) as envoy:
            wait_until(lambda: picker.knows("a", "b"), "both pods to be known")
            for _ in range(4):
                asked = {"x-llm-d-slo-ttft-ms": "100", "x-llm-d-slo-tpot-ms": "10", "x-stream": "3"}
                assert call(envoy.port, "POST", "/v1/completions", completion(stream=True), asked).status == 200
            assert (slow.requests, fast.requests) == (0, 4)
            wait_until(lambda: sum(entry["actual_ttft_ms"] > 0 for entry in predictor.learnt) == 4, "the first tokens to be learnt")

            # Nobody predicts any more: requests are served all the same.
            predictor.status = 503
            assert call(envoy.port, "POST", "/v1/completions", completion(), {"x-llm-d-slo-ttft-ms": "100"}).status == 200
            assert picker.metric("baton_epp_unpredicted_requests_total") == 1
