"""What arrives at a pod, and at the client, is what was sent: but for what only the picker may say."""
import http.client
import json

import httpx
import pytest

from gateway import Envoy, call, completion, digest, wait_until

MODES = ["FULL_DUPLEX_STREAMED", "BUFFERED", "STREAMED"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1_000, 220_000])
def test_a_body_arrives_byte_for_byte_in_every_mode(picker, pod, mode, size):
    body = completion(size)
    with Envoy(picker, [], mode, buffer=1 << 20) as envoy:
        answer = call(envoy.port, "POST", "/v1/completions", body)
    assert answer.status == 200, answer.body
    assert answer.json()["sha"] == digest(body)
    assert answer.headers["x-went-into-resp-headers"] == "true"


@pytest.mark.parametrize("size", [1_000, 220_000])
def test_a_client_of_http_2_gets_the_same(envoy, size):
    body = completion(size)
    with httpx.Client(http1=False, http2=True, timeout=30) as client:
        for _ in range(3):
            answer = client.post(f"{envoy.base}/v1/completions", content=body)
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200), answer.text
            assert answer.json()["sha"] == digest(body)
        with client.stream("POST", f"{envoy.base}/v1/completions", content=completion(stream=True),
                           headers={"x-stream": "3", "x-pause": "0.05"}) as answer:
            assert answer.read().endswith(b"data: [DONE]\n\n")


def test_a_body_of_60_mb_arrives_byte_for_byte(envoy):
    body = completion(60_000_000)
    answer = call(envoy.port, "POST", "/v1/completions", body, timeout=100)
    assert answer.status == 200, answer.body
    assert answer.json()["bytes"] == len(body)
    assert answer.json()["sha"] == digest(body)


def test_a_body_over_64_mib_gets_a_413(envoy, pod):
    answer = call(envoy.port, "POST", "/v1/completions", completion((64 << 20) + 1), timeout=100)
    assert answer.status == 413
    assert answer.body.startswith(b"inference error: RequestEntityTooLarge")
    assert pod.requests == 0


@pytest.mark.parametrize("mode", MODES)
def test_what_only_the_picker_may_say_is_taken_out(picker, pod, mode):
    body = b'{"model": "m", "prompt": "x",  "kv_transfer_params": {"remote_host": "6.6.6.6"}, "top_p": 1.0}'
    headers = {"x-prefiller-host-port": "6.6.6.6:1", "x-data-parallel-host-port": "6.6.6.6:1", "x-mine": "kept"}
    with Envoy(picker, [], mode, buffer=1 << 20) as envoy:
        answer = call(envoy.port, "POST", "/v1/completions", body, headers)
    assert answer.status == 200, answer.body
    seen = answer.json()
    assert "kv_transfer_params" not in seen["text"]
    assert json.loads(seen["text"]) == {"model": "m", "prompt": "x", "top_p": 1.0}
    assert "x-prefiller-host-port" not in seen["headers"]
    assert "x-data-parallel-host-port" not in seen["headers"]
    assert seen["headers"]["x-mine"] == "kept"
    assert picker.metric("baton_epp_removed_headers_total") == 2
    assert picker.metric("baton_epp_removed_transfer_params_total") == 1


def test_a_destination_that_a_client_sent_is_replaced(envoy, pod):
    answer = call(envoy.port, "POST", "/v1/completions", completion(), {"x-gateway-destination-endpoint": "127.0.0.1:1"})
    assert answer.status == 200, answer.body
    assert answer.json()["headers"]["x-gateway-destination-endpoint"] == f"127.0.0.1:{pod.port}"


def test_a_request_without_a_body_reaches_a_pod(envoy):
    answer = call(envoy.port, "GET", "/v1/models")
    assert answer.status == 200
    assert answer.json() == {"path": "/v1/models"}


def test_a_chunked_body_with_trailers_arrives_whole(envoy):
    body = completion(100_000)
    connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
    connection.putrequest("POST", "/v1/completions")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Trailer", "x-sum")
    connection.endheaders()
    for at in range(0, len(body), 30_000):
        piece = body[at:at + 30_000]
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    connection.send(b"0\r\nx-sum: 1\r\n\r\n")
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    assert json.loads(text)["sha"] == digest(body)


@pytest.mark.parametrize("mode", ["FULL_DUPLEX_STREAMED", "STREAMED"])
def test_a_stream_passes_event_by_event_and_its_usage_is_counted(picker, pod, mode):
    with Envoy(picker, [], mode, buffer=1 << 20) as envoy:
        connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
        connection.request("POST", "/v1/completions", completion(stream=True), {"x-stream": "3", "x-pause": "0.3"})
        answer = connection.getresponse()
        first = answer.read1(1000)
        assert b'"0"' in first and b'"2"' not in first
        rest = answer.read()
    assert rest.endswith(b"data: [DONE]\n\n")
    wait_until(lambda: picker.metric("llm_d_epp_request_running") == 0, "the request to be over")
    if mode == "FULL_DUPLEX_STREAMED":  # the model is known: the labels are the request's
        assert picker.metric("llm_d_epp_request_input_tokens_sum", model_name="m") == 5


@pytest.mark.parametrize("body,message", [
    (b"no healthy upstream", b"inference error: BadRequest - error unmarshaling request bodyMap"),
    (b'{"prompt": "x"}', b"inference error: BadRequest - model not found in request body")])
def test_a_wrong_body_gets_a_400_with_the_reason(envoy, pod, body, message):
    answer = call(envoy.port, "POST", "/v1/completions", body)
    assert answer.status == 400
    assert answer.body.startswith(message)
    assert pod.requests == 0


def test_a_client_that_leaves_leaves_nothing_behind(envoy, picker):
    connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
    connection.request("POST", "/v1/completions", completion(stream=True), {"x-stream": "1000", "x-pause": "0.05"})
    answer = connection.getresponse()
    answer.read1(100)
    assert picker.metric("llm_d_epp_request_running") == 1
    answer.close()
    connection.close()
    wait_until(lambda: picker.metric("baton_epp_client_gone_total") == 1, "the picker to see the client gone")
    assert picker.metric("llm_d_epp_request_running") == 0
    assert picker.metric("baton_epp_streams") == 0
