"""The picker dies, comes back, loses and gains pods: with failure mode open requests go on, closed they fail soon and clearly."""
import http.client
import threading
import time

import pytest

from gateway import EchoPod, Envoy, Load, Picker, call, completion, wait_until


def test_no_pod_gets_a_503_with_the_reason():
    with Picker([]) as picker, Envoy(picker, []) as envoy:
        answer = call(envoy.port, "POST", "/v1/completions", completion())
        assert answer.status == 503
        assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"
        assert call(envoy.port, "GET", "/v1/models").status == 500


def test_a_dead_picker_fails_requests_when_closed(envoy, picker, pod):
    picker.kill()
    answer = call(envoy.port, "POST", "/v1/completions", completion())
    assert answer.status >= 500
    assert pod.requests == 0


def test_a_dead_picker_lets_requests_pass_when_open(picker, pod):  # epp:E008
    # Buffered: in full duplex Envoy has handed the body over before it sees that the picker is gone, and answers 500.
    with Envoy(picker, [pod.port], "BUFFERED", failure_open=True, buffer=1 << 20) as envoy:
        picker.kill()
        answer = call(envoy.port, "POST", "/v1/completions", completion())
        assert answer.status == 200, answer.body


def test_routing_resumes_when_the_picker_is_back(envoy, picker):  # epp:E003
    connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
    connection.request("POST", "/v1/completions", completion(stream=True), {"x-stream": "1000", "x-pause": "0.05"})
    answer = connection.getresponse()
    answer.read1(100)
    picker.kill()
    picker.start()
    wait_until(lambda: call(envoy.port, "POST", "/v1/completions", completion()).status == 200, "routing to resume", step=0.2)
    connection.close()


@pytest.mark.parametrize("failure_open", [False, True])
def test_a_picker_killed_mid_body_ends_the_request_without_a_hang(picker, pod, failure_open):
    with Envoy(picker, [pod.port], failure_open=failure_open) as envoy:
        body = completion(100_000)
        connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
        connection.putrequest("POST", "/v1/completions")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body[:50_000])
        wait_until(lambda: picker.metric("baton_epp_streams") == 1, "the picker to see the request")
        picker.kill()
        try:
            connection.send(body[50_000:])
            status = connection.getresponse().status
        except ConnectionError:
            status = 0  # reset while it was being sent: an end as well
        assert status == 0 or status >= 500 or (failure_open and status == 200)


@pytest.mark.parametrize("mode, failure_open, status", [("FULL_DUPLEX_STREAMED", False, 500), ("FULL_DUPLEX_STREAMED", True, 500),
                                                        ("BUFFERED", False, 500), ("BUFFERED", True, 200)])
def test_a_picker_killed_while_the_pod_works_costs_the_answer_but_where_envoy_has_it_all(picker, pod, mode, failure_open, status):
    with Envoy(picker, [pod.port], mode, failure_open, buffer=1 << 20) as envoy:
        answers = []
        client = threading.Thread(target=lambda: answers.append(call(envoy.port, "POST", "/v1/completions", completion(), {"x-hold": "1"})))
        client.start()
        wait_until(lambda: pod.requests == 1, "the pod to have the request")
        picker.kill()
        wait_until(lambda: answers or envoy.stat("cluster.picker.upstream_cx_active") == 0, "Envoy to see that the picker is gone")
        pod.release()
        client.join(timeout=30)
        assert [answer.status for answer in answers] == [status]


@pytest.mark.parametrize("failure_open", [False, True])
def test_a_picker_killed_mid_answer_ends_the_answer_without_a_hang(picker, pod, failure_open):
    with Envoy(picker, [pod.port], failure_open=failure_open) as envoy:
        connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
        connection.request("POST", "/v1/completions", completion(stream=True), {"x-stream": "1000", "x-pause": "0.05"})
        answer = connection.getresponse()
        answer.read1(100)
        picker.kill()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()


def test_a_picker_restarted_under_load_fails_requests_only_meanwhile(envoy, picker):
    with Load(envoy) as load:
        load.answers(20)
        picker.kill()
        wait_until(lambda: load.statuses[-4:] and 200 not in load.statuses[-4:], "requests to fail")
        picker.start()
        load.answers(20)
        back = time.monotonic()  # a client may not have heard yet how an earlier request of its ended
        wait_until(lambda: len(load.begun_since(back)) >= 20, "20 answers to requests of now")
        assert set(load.begun_since(back)) == {200}
        assert {status for status in load.statuses if status != 200} <= {500, 503, 0}


def test_pods_come_and_go_under_load_without_a_failed_request(envoy, picker, pod):
    with EchoPod() as other, Load(envoy) as load:
        load.answers(20)
        picker.endpoints([pod.endpoint("a"), other.endpoint("b")])
        wait_until(lambda: other.requests > 0, "the new pod to be used")
        picker.endpoints([other.endpoint("b")])

        def left_alone():
            before = pod.requests
            load.answers(10)
            return pod.requests == before

        wait_until(left_alone, "the pod that went to be left alone", 60)
        picker.endpoints([pod.endpoint("a"), other.endpoint("b")])
        served = pod.requests
        wait_until(lambda: pod.requests > served, "the pod that came back to be used")
    assert set(load.statuses) == {200}


def test_a_pod_that_comes_is_used_and_one_that_goes_is_not(envoy, picker, pod):
    with EchoPod() as other:
        picker.endpoints([pod.endpoint("a"), other.endpoint("b")])
        wait_until(lambda: call(envoy.port, "POST", "/v1/completions", completion()).status == 200 and other.requests > 0,
                   "the new pod to be used")
        picker.endpoints([other.endpoint("b")])

        def only_other():
            before = pod.requests
            return all(call(envoy.port, "POST", "/v1/completions", completion()).status == 200 for _ in range(5)) and pod.requests == before

        wait_until(only_other, "the pod that went to be left alone")
