"""KV events of an engine, read by libzmq (pyzmq) and another MessagePack: what its cache holds is what it tells."""
import contextlib
import json
import struct

import msgpack
import pytest
import zmq

from processes import Program, engine, free_port
from stack import get, post, wait_until

TEXT = "Once upon a time there was a little engine that told everybody what it remembered. " * 12
END = b"\xff" * 8


@contextlib.contextmanager
def publishing(**more):
    events, replay = free_port(), free_port()
    config = {"enable_kv_cache_events": True, "endpoint": f"tcp://*:{events}", "replay_endpoint": f"tcp://*:{replay}",
              "topic": "kv@127.0.0.1@storyteller", **more}
    with engine("--kv-events-config", json.dumps(config), "--num-gpu-blocks-override", "160",
                "--max-model-len", "2048") as program:
        program.events, program.replay = events, replay
        yield program


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


def receive(socket, wanted):
    """Messages until `wanted` says that there are enough."""
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    got = []
    while not wanted(got):
        assert poller.poll(30_000), got
        got.append(socket.recv_multipart())
    return got


def history(context, program, start=0):
    """(number, batch) of what the engine remembers."""
    out = []
    socket = context.socket(zmq.DEALER)
    socket.connect(f"tcp://127.0.0.1:{program.replay}")
    socket.send_multipart([b"", struct.pack(">Q", start)])
    for empty, number, payload in receive(socket, lambda got: got and got[-1][1] == END):
        assert empty == b""
        if number != END:
            out.append((struct.unpack(">Q", number)[0], msgpack.unpackb(payload)))
    socket.close(0)
    return out


def complete(program, prompt, tokens=1):
    status, _, text = post(f"{program.url}/completions", {"model": "storyteller", "prompt": prompt,
                                                          "max_tokens": tokens, "temperature": 0})
    assert status == 200, text


def ids(program, prompt):
    return json.loads(post(f"{program.base}/tokenize", {"model": "storyteller", "prompt": prompt})[2])["tokens"]


@pytest.mark.parametrize("shape", ["array", "map"])
def test_a_subscriber_learns_what_is_cached(context, shape):
    with publishing(event_format=shape) as program:
        socket = context.socket(zmq.SUB)
        socket.subscribe(b"kv@")
        socket.connect(f"tcp://127.0.0.1:{program.events}")
        wait_until(lambda: program.metric("baton_kv_event_followers") == 1, "the subscription")
        tokens = ids(program, TEXT)
        complete(program, TEXT)

        def stored(got):
            for _, _, payload in got:
                for event in msgpack.unpackb(payload)[1]:
                    yield event if shape == "map" else dict(zip(
                        ["type", "block_hashes", "parent_block_hash", "token_ids", "block_size"], event))

        blocks = len(tokens) // 16
        got = receive(socket, lambda got: sum(len(e["block_hashes"]) for e in stored(got)) >= blocks)
        assert [struct.unpack(">Q", number)[0] for _, number, _ in got] == list(range(len(got)))
        assert {topic for topic, _, _ in got} == {b"kv@127.0.0.1@storyteller"}
        told, parent = [], None
        for event in stored(got):
            assert event["type"] == "BlockStored" and event["block_size"] == 16
            assert event["parent_block_hash"] == parent
            told += event["token_ids"]
            parent = event["block_hashes"][-1]
        assert told[:blocks * 16] == tokens[:blocks * 16]
        socket.close(0)


def test_history_is_repeated_from_where_it_is_asked_for(context):
    with publishing() as program:
        complete(program, TEXT)
        complete(program, "Another " + TEXT)
        everything = history(context, program)
        assert [number for number, _ in everything] == list(range(len(everything)))
        assert history(context, program, 1) == everything[1:]
        assert history(context, program, 10_000) == []
        assert program.metric("baton_kv_event_batches_total") == len(everything)


def test_evicted_blocks_are_told_before_those_that_take_their_place(context):
    with publishing() as program:
        for i in range(12):  # more than 160 blocks
            complete(program, f"{i} {TEXT}")
        held, removed = set(), 0
        for _, (_, events, rank) in history(context, program):
            assert rank == 0
            for tag, hashes, *_ in events:
                if tag == "BlockStored":
                    assert not held & set(hashes)
                    held |= set(hashes)
                else:
                    assert tag == "BlockRemoved" and set(hashes) <= held
                    held -= set(hashes)
                    removed += len(hashes)
        assert removed > 0 and len(held) <= 160
        assert removed == program.metric("baton_kv_evictions_total")
