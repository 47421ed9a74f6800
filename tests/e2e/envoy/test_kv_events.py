"""Precise prefixes: real engines tell what they hold, and Envoy's requests go where the prompt is."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import urllib.error

import zmq

from gateway import Envoy, Picker
from processes import free_port
from stack import BATON, MODELS, get, metric, post, wait_until

HOSTS = ("127.0.0.2", "127.0.0.3")
CONFIG = """
plugins:
- {name: file, type: file-discovery, parameters: {path: ENDPOINTS, watchFile: true}}
- {type: token-producer, parameters: {modelName: MODEL}}
- type: precise-prefix-cache-producer
  parameters:
    kvEventsConfig: {podDiscoveryConfig: {socketPort: EVENTS, replaySocketPort: REPLAY}}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}
- {type: queue-scorer}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: queue-scorer}]}
"""


class Engine:
    """`baton engine` on a loopback address of its own, publishing KV events there."""

    def __init__(self, host, port, events, replay):
        self.host, self.port = host, port
        config = {"enable_kv_cache_events": True, "endpoint": f"tcp://*:{events}", "replay_endpoint": f"tcp://*:{replay}",
                  "topic": f"kv@{host}@storyteller"}
        self.command = [BATON, "engine", "storyteller", "--enable-prompt-tokens-details", "--port", str(port),
                        "--kv-events-config", json.dumps(config)]
        self.start()

    def start(self):
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, env={
            **os.environ, "BATON_MODELS_DIR": str(MODELS), "BATON_POD_IP": self.host})
        wait_until(self._healthy, f"the engine on {self.host}", 120)

    def _healthy(self):
        assert self.process.poll() is None
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return get(f"http://{self.host}:{self.port}/health", timeout=2) is not None

    def prompts(self):
        """Requests that it has answered."""
        return metric(get(f"http://{self.host}:{self.port}/metrics"), "vllm:request_success_total") or 0

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)


@contextlib.contextmanager
def cluster(relayed=False):
    """Two engines, the picker and Envoy. `relayed`: events come through relays that tests may make lossy."""
    port, events, replay = free_port(), free_port(), free_port()
    heard = free_port() if relayed else events
    with contextlib.ExitStack() as stack:
        engines = []
        for host in HOSTS:
            engines.append(Engine(host, port, events, replay))
            stack.callback(engines[-1].kill)
        relays = [stack.enter_context(Relay(host, events, heard)) for host in HOSTS] if relayed else []
        config = (CONFIG.replace("MODEL", str(MODELS / "storyteller")).replace("EVENTS", str(heard))
                  .replace("REPLAY", str(replay)))
        picker = stack.enter_context(Picker([{"name": f"pod-{host}", "address": host, "port": str(port)}
                                             for host in HOSTS], config))
        wait_until(lambda: picker.metric("baton_epp_kv_events_engines_in_sync") == 2, "engines in sync", 60)
        envoy = stack.enter_context(Envoy(picker, [port]))
        yield engines, picker, envoy, relays


class Relay:
    """Subscribes to an engine and publishes what it hears, but for what it is told to drop."""

    def __init__(self, host, source, port):
        self.context = zmq.Context()
        self.drop = False
        self.dropped = 0
        self.subscriber = self.context.socket(zmq.SUB)
        self.subscriber.subscribe(b"")
        self.subscriber.connect(f"tcp://{host}:{source}")
        self.publisher = self.context.socket(zmq.PUB)
        self.publisher.bind(f"tcp://{host}:{port}")
        self.stopping = False
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stopping:
            if not self.subscriber.poll(50):
                continue
            frames = self.subscriber.recv_multipart()
            if self.drop:
                self.dropped += 1
            else:
                self.publisher.send_multipart(frames)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.context.destroy(0)


def story(name):
    return f"This is the story of {name}. " + " ".join(f"On day {i} {name} found a small stone." for i in range(40))


def ask(envoy, messages):
    """The answer and how many prompt tokens its engine had cached."""
    status, _, text = post(f"http://127.0.0.1:{envoy.port}/v1/chat/completions",
                           {"model": "storyteller", "messages": messages, "max_tokens": 8, "temperature": 0})
    assert status == 200, text
    answer = json.loads(text)
    return answer["choices"][0]["message"]["content"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def served_by(engines, work):
    """Which engine answered meanwhile, and what the work gave."""
    before = [engine.prompts() for engine in engines]
    out = work()
    wait_until(lambda: [engine.prompts() for engine in engines] != before, "the engine's count")
    after = [engine.prompts() for engine in engines]
    return [now - then for now, then in zip(after, before)].index(1), out


def settled(picker, engines):
    """The picker has read what the engines told."""
    told = sum(metric(get(f"http://{e.host}:{e.port}/metrics"), "baton_kv_event_batches_total") for e in engines)
    wait_until(lambda: picker.metric("baton_epp_kv_events_position") == told, "the picker to read its events")


def test_a_conversation_stays_where_its_blocks_are():
    with cluster() as (engines, picker, envoy, _):
        homes = {}
        for name in ("Ada", "Ben", "Cleo", "Dan"):
            messages = [{"role": "user", "content": story(name)}]
            homes[name], (text, _) = served_by(engines, lambda: ask(envoy, messages))
            homes[name] = homes[name], messages + [{"role": "assistant", "content": text}]
        settled(picker, engines)
        for name, (home, messages) in homes.items():
            messages = messages + [{"role": "user", "content": "And then?"}]
            where, (_, cached) = served_by(engines, lambda: ask(envoy, messages))
            assert where == home and cached > 0, name
        assert picker.metric("baton_epp_prefix_predictions_total") >= 8
        assert picker.metric("baton_epp_prefix_predictions_exact_total") == picker.metric(
            "baton_epp_prefix_predictions_total")
        assert picker.metric("baton_epp_untokenized_prompts_total") == 0
        assert picker.metric("baton_epp_tokenize_remembered_bytes_total") > 0


def test_a_restarted_engine_is_followed_anew():
    with cluster() as (engines, picker, envoy, _):
        messages = [{"role": "user", "content": story("Ada")}]
        home, _ = served_by(engines, lambda: ask(envoy, messages))
        settled(picker, engines)
        engines[home].kill()
        wait_until(lambda: picker.metric("baton_epp_kv_events_engines_in_sync") == 1, "the loss noticed")
        engines[home].start()
        wait_until(lambda: picker.metric("baton_epp_kv_events_engines_in_sync") == 2, "the engine in sync again", 60)
        # Its cache is empty now, and the picker knows: what it tells from now on counts.
        where, (_, cached) = served_by(engines, lambda: ask(envoy, messages))
        assert cached == 0
        settled(picker, engines)
        again, (_, cached) = served_by(engines, lambda: ask(envoy, messages))
        assert again == where and cached > 0


def test_events_that_were_lost_are_repaired_from_history():
    with cluster(relayed=True) as (engines, picker, envoy, relays):
        messages = [{"role": "user", "content": story("Ada")}]
        for relay in relays:
            relay.drop = True
        home, _ = served_by(engines, lambda: ask(envoy, messages))
        wait_until(lambda: relays[home].dropped > 0, "an event to be dropped")
        for relay in relays:
            relay.drop = False
        for i in range(20):  # until the engine of the lost event publishes another
            where, _ = served_by(engines, lambda: ask(envoy, [{"role": "user", "content": story(f"Zoe {i}")}]))
            if where == home:
                break
        wait_until(lambda: picker.metric("baton_epp_kv_events_gaps_total") >= 1, "the gap")
        wait_until(lambda: picker.metric("baton_epp_kv_events_engines_in_sync") == 2, "the repair")
        settled(picker, engines)
        where, (_, cached) = served_by(engines, lambda: ask(envoy, messages))
        assert where == home and cached > 0
