"""Every connector and every split of the stages behind Envoy: what the picker decides, the sidecar carries out."""
import contextlib
import json

import pytest

from gateway import Envoy, Picker, call, endpoint
from processes import Program
from scripted_engine import ScriptedEngine, Store, decoding, encoding, prefilling

STAGES = """
plugins:
- {name: file, type: file-discovery, parameters: {path: ENDPOINTS, watchFile: true}}
- {type: encode-filter}
- {type: prefill-filter}
- {type: decode-filter}
- {type: prefix-cache-scorer}
- {type: always-disagg-multimodal-decider}
- {type: prefix-based-pd-decider, parameters: {nonCachedTokens: 16}}
- {type: disagg-profile-handler, parameters: {deciders: {DECIDERS}}}
schedulingProfiles:
- {name: encode, plugins: [{pluginRef: encode-filter}]}
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: prefix-cache-scorer, weight: 2}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer, weight: 2}]}
"""
ENCODE, PREFILL = "encode: always-disagg-multimodal-decider", "prefill: prefix-based-pd-decider"
LONG = "a prompt of more than sixteen tokens, which no pod has seen before " * 3
CHAT, COMPLETIONS, GENERATE = "/v1/chat/completions", "/v1/completions", "/inference/v1/generate"
ONLY = """
plugins:
- {name: file, type: file-discovery, parameters: {path: ENDPOINTS, watchFile: true}}
- {type: vllmhttp-parser}
- {type: STAGE-filter}
requestHandler: {parsers: [{pluginRef: vllmhttp-parser}]}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: STAGE-filter}]}
"""


def stages(*deciders):
    return STAGES.replace("DECIDERS", ", ".join(deciders))


class Chain:
    """Envoy, the picker, a sidecar before `decode`, and other engines by their roles: {role: [ScriptedEngine]}."""

    def __init__(self, started, config, decode, others, flags, role):
        self.sidecar = started.enter_context(Program("sidecar", "--model-server-port", str(decode.port), "--decoder-host", "127.0.0.1",
                                                     "--secure-proxy=false", *flags))
        pods = [endpoint("decode-0", self.sidecar.port, role)]
        pods += [endpoint(f"{name}-{i}", engine.port, name) for name, engines in others.items() for i, engine in enumerate(engines)]
        self.picker = started.enter_context(Picker(pods, config))
        self.envoy = started.enter_context(Envoy(self.picker, [self.sidecar.port]))

    def ask(self, path, **members):
        answer = call(self.envoy.port, "POST", path, {"model": "m", "max_tokens": 4, **members})
        assert answer.status == 200, answer.body
        return answer


def decided(picker):
    """How often each split of the stages was chosen."""
    kinds = ("decode-only", "prefill-decode", "encode-decode", "encode-prefill-decode")
    return {kind: count for kind in kinds if (count := picker.metric("llm_d_epp_disagg_decision_total", decision_type=kind))}


@contextlib.contextmanager
def chain(config, decode, flags=(), role="decode", **others):
    """`decode` and `others` are answers of engines, or lists of them."""
    with contextlib.ExitStack() as started:
        engine = started.enter_context(ScriptedEngine(decode))
        running = {name: [started.enter_context(ScriptedEngine(one)) for one in answers] for name, answers in others.items()}
        yield Chain(started, config, engine, running, flags(running) if callable(flags) else flags, role), engine, running


@pytest.mark.parametrize("stream", [False, True])
def test_shared_storage_asks_decode_first_and_prefill_when_the_store_has_nothing(stream):  # epp:D014
    store = Store()
    flags = ("--kv-connector=shared-storage",)
    with chain(stages(PREFILL), store.decoding, flags, prefill=[store.prefilling]) as (through, decode, others):
        (prefill,) = others["prefill"]
        answer = through.ask(COMPLETIONS, prompt=LONG, cache_hit_threshold=0.8, stream=stream)
        assert b"decoded" in answer.body and b"cache_threshold" not in answer.body
        assert [one.body["max_tokens"] for one in prefill.take()] == [1]
        assert [one.body["cache_hit_threshold"] for one in decode.take()] == [0.8, 0]

        store.prompts.add("stored: " + LONG)
        assert b"decoded" in through.ask(COMPLETIONS, prompt="stored: " + LONG, cache_hit_threshold=0.8, stream=stream).body
        assert prefill.take() == [] and [one.body["cache_hit_threshold"] for one in decode.take()] == [0.8]
        assert decided(through.picker) == {"prefill-decode": 2}


@pytest.mark.parametrize("stream", [False, True])
def test_mooncakes_engines_meet_by_the_id_that_the_prefill_host_tells(stream):  # epp:D014
    def flags(running):
        return "--kv-connector=mooncake", f"--mooncake-bootstrap-port={running['prefill'][0].port}"

    with chain(stages(PREFILL), decoding, flags, prefill=[prefilling]) as (through, decode, others):
        (prefill,) = others["prefill"]
        assert b"decoded" in through.ask(COMPLETIONS, prompt=LONG, stream=stream).body
        ((_, _, prefilled),), ((_, _, decoded),) = prefill.take(1), decode.take(1)
        assert prefilled["kv_transfer_params"]["transfer_id"] == decoded["kv_transfer_params"]["transfer_id"]
        assert decoded["kv_transfer_params"]["remote_engine_id"] == "engine-0"
        assert prefilled["max_tokens"] == 1 and decoded["max_tokens"] == 4


def image(name):
    return {"type": "image_url", "image_url": {"url": f"http://images/{name}.png"}}


VIDEO = {"type": "video_url", "video_url": {"url": "http://videos/1.mp4"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
EMBEDS = {"type": "image_embeds", "image_embeds": {"data": "AAAA"}}


def said(*parts, text="what is this?"):
    return [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]


def parts_of(asked):
    return [part for one in asked for message in one.body["messages"] for part in message["content"]]


def through_encoders(through, encoders, others, media):
    """Asks with these media; each went to an encoder alone, and what encoders said to all of `others`."""
    through.ask(CHAT, messages=said(*media, text=f"{LONG} {media}"))
    asked = [one for encoder in encoders for one in encoder.take()]
    assert sorted(map(json.dumps, parts_of(asked))) == sorted(map(json.dumps, media))
    handed = {key for one in asked for key in encoding(one)["ec_transfer_params"]}
    for engine in others:
        (request,) = engine.take()
        assert set(request.body["ec_transfer_params"]) == handed


def test_encode_before_an_engine_that_prefills_and_decodes():  # epp:D014
    flags = ("--ec-connector=ec-nixl",)
    with chain(stages(ENCODE), decoding, flags, "prefill-decode", encode=[encoding, encoding]) as (through, decode, others):
        encoders = others["encode"]
        through.ask(CHAT, messages=said())
        through.ask(CHAT, messages=said(EMBEDS))
        assert [encoder.take() for encoder in encoders] == [[], []] and len(decode.take()) == 2
        assert decided(through.picker) == {"decode-only": 2}
        for media in ([image(1)], [image(1), image(2)], [VIDEO], [AUDIO]):
            through_encoders(through, encoders, [decode], media)
        assert decided(through.picker) == {"decode-only": 2, "encode-decode": 4}


def test_encode_prefill_and_decode_on_engines_of_their_own():  # epp:D014
    flags = ("--ec-connector=ec-nixl",)
    with chain(stages(ENCODE, PREFILL), decoding, flags, encode=[encoding, encoding], prefill=[prefilling]) as (through, decode, others):
        encoders, (prefill,) = others["encode"], others["prefill"]
        through.ask(COMPLETIONS, prompt=LONG)
        through.ask(CHAT, messages=said(EMBEDS, text=LONG))
        assert [encoder.take() for encoder in encoders] == [[], []]
        for engine in (prefill, decode):
            assert [one.path for one in engine.take()] == [COMPLETIONS, CHAT]
        assert decided(through.picker) == {"prefill-decode": 2}
        for media in ([image(1)], [image(1), image(2)], [VIDEO]):
            through_encoders(through, encoders, [prefill], media)
            (last,) = decode.take()
            assert last.body["kv_transfer_params"]["remote_engine_id"] == "engine-0"
        assert decided(through.picker) == {"prefill-decode": 2, "encode-prefill-decode": 3}


def test_one_pod_is_every_stage():  # epp:D014
    with ScriptedEngine(decoding) as pod, Picker([endpoint("all", pod.port, "encode-prefill-decode")], stages(ENCODE, PREFILL)) as picker:
        with Envoy(picker, [pod.port]) as envoy:
            for path, members in ((COMPLETIONS, {"prompt": LONG}), (CHAT, {"messages": said(image(1), text=LONG)})):
                assert call(envoy.port, "POST", path, {"model": "m", **members}).status == 200
            text, picture = pod.take()
            here = f"127.0.0.1:{pod.port}"
            assert text.headers["x-prefiller-host-port"] == here and "x-encoder-hosts-ports" not in text.headers
            assert picture.headers["x-prefiller-host-port"] == picture.headers["x-encoder-hosts-ports"] == here
            assert decided(picker) == {"prefill-decode": 1, "encode-prefill-decode": 1}


FEATURES = {"mm_hashes": {"image": ["abc"]}, "mm_placeholders": {"image": [{"offset": 1, "length": 3}]}, "kwargs_data": {"image": ["AA=="]}}


@pytest.mark.parametrize("stage, answer, told", [("encode", encoding, "ec_transfer_params"), ("prefill", prefilling, "kv_transfer_params")])
def test_generate_goes_to_a_pool_of_one_stage(stage, answer, told):  # epp:D014
    with ScriptedEngine(answer) as engine, ScriptedEngine(decoding) as other:
        pods = [endpoint("wanted", engine.port, stage), endpoint("other", other.port, "decode")]
        with Picker(pods, ONLY.replace("STAGE", stage)) as picker, Envoy(picker, [other.port]) as envoy:
            body = {"model": "m", "token_ids": [1, 7, 7, 7, 2], "features": FEATURES, "sampling_params": {"max_tokens": 1}}
            got = call(envoy.port, "POST", GENERATE, body)
            assert got.status == 200 and got.json()[told], got.body
            assert [one.body for one in engine.take()] == [body] and other.take() == []


def test_generate_is_prefilled_and_decoded():  # epp:D014
    with chain(stages(PREFILL), decoding, ("--kv-connector=nixlv2",), prefill=[prefilling]) as (through, decode, others):
        (prefill,) = others["prefill"]
        ids = list(range(1000, 1100))
        through.ask(GENERATE, token_ids=ids, sampling_params={"max_tokens": 7})
        ((path, _, prefilled),), ((_, _, decoded),) = prefill.take(), decode.take()
        assert path == GENERATE and prefilled["token_ids"] == decoded["token_ids"] == ids
        assert prefilled["sampling_params"]["max_tokens"] == 1 and decoded["sampling_params"]["max_tokens"] == 7
        assert decided(through.picker) == {"prefill-decode": 1}
