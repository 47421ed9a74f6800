"""`baton epp` from gRPC's own client: messages that are compressed, as a proxy may be set up to send them."""
import os
import pathlib
import subprocess
import tempfile

import grpc
import pytest

from processes import free_port
from stack import BATON, wait_until

CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{name: file, type: file-discovery, parameters: {path: %s}}, {type: queue-scorer}]
dataLayer: {discovery: {pluginRef: file}}
"""
PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
BODY = b'{"model":"m","prompt":"%s"}' % (b"a word " * 20_000)


def field(number, value):
    """One field of a protobuf message, as bytes or as a small number."""
    def varint(n):
        out = bytearray()
        while n > 127:
            out.append(n & 127 | 128)
            n >>= 7
        return bytes(out + bytes([n]))

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(message):
    """Its fields by number, the last of each."""
    out, at = {}, 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            byte = message[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    while at < len(message):
        key = varint()
        value = varint()
        if key & 7 == 2:
            value, at = message[at:at + value], at + value
        out[key >> 3] = value
    return out


def dig(message, *path):
    for number in path:
        message = fields(message).get(number, b"")
    return message


def request():
    headers = b"".join(field(1, field(1, name) + field(3, value)) for name, value in [
        (b":path", b"/v1/completions"), (b":method", b"POST"), (b"content-type", b"application/json")])
    yield field(2, field(1, headers))
    for at in range(0, len(BODY), 16 << 10):
        last = at + (16 << 10) >= len(BODY)
        yield field(4, field(1, BODY[at:at + (16 << 10)]) + field(2, int(last)))


@pytest.fixture(scope="module")
def picker():
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile(mode="w+") as log:
        endpoints = pathlib.Path(folder, "endpoints.yaml")
        endpoints.write_text('endpoints: [{name: a, address: 127.0.0.9, port: "8000"}]\n')
        port = free_port()
        process = subprocess.Popen(
            [BATON, "epp", "--pool-name=p", f"--config-text={CONFIG % endpoints}", f"--grpc-port={port}", f"--grpc-health-port={free_port()}",
             f"--metrics-port={free_port()}", "--secure-serving=false", "--grpc-max-recv-msg-size=200000"],
            stdout=log, stderr=log, env=os.environ)  # fmt: skip
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=20)
                wait_until(lambda: answered(channel, request())[1] is not None, "the endpoint is known")
                yield channel
        finally:
            process.terminate()
            process.wait(timeout=20)
            log.seek(0)
            print(log.read())


def answered(channel, messages, **options):
    """(header answer, body) that the picker sends back for them; the body is None where it ended the request."""
    call = channel.stream_stream(PROCESS, lambda b: b, lambda b: b)(iter(messages), timeout=20, **options)
    head, body = b"", b""
    for message in call:
        head = head or dig(message, 1)
        piece = fields(dig(message, 3, 1, 3, 3))
        body += piece.get(1, b"")
        if piece.get(2):
            break
        if dig(message, 7):
            body = None
            break
    call.cancel()
    return head, body


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_compressed_messages_are_read(picker, compression):  # epp:X044
    head, body = answered(picker, request(), compression=compression)
    assert b"127.0.0.9:8000" in head
    assert body == BODY


def test_what_is_not_read_is_refused_with_what_is(picker):
    with pytest.raises(grpc.RpcError) as refused:
        answered(picker, request(), compression=grpc.Compression.Deflate)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "only identity and gzip" in refused.value.details()


def test_the_limit_of_a_message_is_that_of_what_it_comes_to(picker):
    bomb = field(4, field(1, bytes(1 << 20)))
    with pytest.raises(grpc.RpcError) as refused:
        answered(picker, [bomb], compression=grpc.Compression.Gzip)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "more than 200000 bytes" in refused.value.details()
