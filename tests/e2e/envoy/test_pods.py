"""Pods die, go and come back while requests pass: survivors serve, and all that are there get traffic."""
import contextlib
import http.client
import json
import threading

from gateway import EchoPod, Envoy, call, completion, wait_until


def status(envoy, **more):
    return call(envoy.port, "POST", "/v1/completions", completion(**more)).status


def test_a_pod_that_dies_mid_answer_ends_that_answer_and_no_other(picker, pod):  # epp:E001
    with EchoPod() as other:
        picker.endpoints([pod.endpoint("a"), other.endpoint("b")])
        wait_until(lambda: picker.knows("a", "b"), "both pods to be known")
        with Envoy(picker, [pod.port, other.port]) as envoy:
            connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
            before = pod.requests, other.requests
            connection.request("POST", "/v1/completions", completion(stream=True), {"x-stream": "100000", "x-pause": "0.01"})
            answer = connection.getresponse()
            answer.read1(100)
            victim, survivor = (pod, other) if pod.requests > before[0] else (other, pod)
            victim.die()
            # The answer ends, however it ends.
            try:
                while answer.read1(1 << 16):
                    pass
            except (http.client.IncompleteRead, ConnectionError):
                pass
            picker.endpoints([survivor.endpoint("a" if survivor is pod else "b")])
            served = survivor.requests
            wait_until(lambda: all(status(envoy) == 200 for _ in range(5)), "the survivor to serve everything", step=0.2)
            assert survivor.requests >= served + 5


def test_without_pods_there_is_a_503_until_one_is_back(envoy, picker, pod):  # epp:E002
    assert status(envoy) == 200
    picker.endpoints([])
    wait_until(lambda: status(envoy) == 503, "503 without pods")
    assert call(envoy.port, "POST", "/v1/completions", completion()).headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"
    picker.endpoints([pod.endpoint("a")])
    wait_until(lambda: status(envoy) == 200, "traffic again")


def test_every_pod_and_every_rank_of_it_gets_requests(envoy, picker, pod):  # epp:E004
    with EchoPod() as second, EchoPod() as third:  # ports of one address: ranks
        pods = [pod, second, third]

        def spread(over):
            before = [one.requests for one in pods]
            assert all(status(envoy, user=str(i)) == 200 for i in range(30))
            return [one for one, then in zip(pods, before) if one.requests > then] == over

        for there in (pods, [second], [pod, second]):
            picker.endpoints([one.endpoint(f"p-{one.port}") for one in there])
            wait_until(lambda: spread(there), f"{len(there)} pods to get requests", 60)


def test_requests_are_counted_and_a_header_names_another_model(envoy, picker, pod):  # epp:E005
    answer = call(envoy.port, "POST", "/v1/completions", completion(), {"x-llm-d-model-name-rewrite": "adapter"})
    assert answer.status == 200 and json.loads(answer.json()["text"])["model"] == "adapter"
    labels = {"model_name": "m", "target_model_name": "adapter", "fairness_id": "default-flow", "priority": "0"}
    assert picker.metric("llm_d_epp_request_total", **labels) == 1
    wait_until(lambda: picker.metric("llm_d_epp_request_duration_seconds_count", **labels) == 1, "the answer to be counted")
    assert picker.metric("llm_d_epp_request_input_tokens_sum", **labels) == 3


def test_a_herd_does_not_follow_one_reading_of_the_pods_queues(picker):
    """One pod says that it has nothing to do, three say that four requests wait: 20 at once go evenly, though no pod ever tells of
    them. All on the first would be the herd."""
    with contextlib.ExitStack() as started:
        pods = [started.enter_context(EchoPod()) for _ in range(4)]
        for busy in pods[1:]:
            busy.waiting = 4
        picker.endpoints([one.endpoint(f"p-{i}") for i, one in enumerate(pods)])
        queue = lambda i: picker.metric("llm_d_epp_per_endpoint_queue_size", model_server_endpoint=f"p-{i}")  # noqa: E731
        wait_until(lambda: picker.knows("p-0", "p-3") and [queue(i) for i in range(4)] == [0, 4, 4, 4], "the queues to be known", 30)
        envoy = started.enter_context(Envoy(picker, []))
        clients = [threading.Thread(target=call, args=(envoy.port, "POST", "/v1/completions", completion(user=str(i)), {"x-hold": "1"}))
                   for i in range(20)]
        for client in clients:
            client.start()
        wait_until(lambda: sum(one.requests for one in pods) == 20, "all requests at the pods")
        served = [one.requests for one in pods]
        for one in pods:
            one.release()
        for client in clients:
            client.join()
        assert served == [5, 5, 5, 5]
