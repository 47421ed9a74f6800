"""Seed example 1 with TLS on every hop, as its pictures have it: from the manifest, with verified certificates that the
controller made, and not one port in the clear."""
import json
import os
import pathlib
import re
import socket
import ssl

import pytest

from stack import ROOT, Stack, get, metric, post, wait_until

EXAMPLE = (ROOT / "examples/seed/example1-llama2-7b-disaggregated.yaml").read_text()
# It asks for a probe, too.
PROBED = EXAMPLE.replace("  namespace: llm-serving\n", '  namespace: llm-serving\n  annotations: {baton.dev/probe: "true"}\n', 1)
PROMPT = [{"role": "user", "content": "Write a story about a robot. " + "Take your time. " * 20}]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    file = tmp_path_factory.mktemp("manifest") / "m.yaml"
    file.write_text(PROBED)
    with Stack("--stand-in", "storyteller", "--tls", files=[file], seconds=100) as running:
        # Certificates name pods once these have addresses; each part takes up the last one by itself.
        wait_until(lambda: all(verified(p["address"], port, trusted(running)) for p in running.pods() for port in ports_of(p)),
                   "every pod's certificate to name its address", 60, step=0.2)
        yield running


def ports_of(pod):
    return (8000, 8001) if pod["role"] == "decode" else (8000,)


def trusted(stack):
    return ssl.create_default_context(cafile=str(pathlib.Path(stack.state.name) / "tls/authorities.pem"))


def verified(host, port, context):
    try:
        with socket.create_connection((host, port), timeout=5) as plain, context.wrap_socket(plain, server_hostname=host):
            return True
    except (ssl.SSLError, ConnectionError):
        return False


def in_the_clear(host, port):
    with socket.create_connection((host, port), timeout=10) as clear:
        clear.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            return clear.recv(4096)
        except ConnectionError:
            return b""


def ask(stack, **members):
    gateway = ssl.create_default_context(cafile=str(pathlib.Path(stack.state.name) / "tls/gateway.crt"))
    body = {"model": "llama2-7b", "max_tokens": 40, "temperature": 0, "messages": PROMPT, **members}
    return post(f"{stack.url}/chat/completions", body, tls=gateway)


def listening_ports(stack):
    """(address, port) of each TCP socket on which the stack's processes listen."""
    pids = [stack.process.pid, *(c["pid"] for p in stack.pods() for c in p["containers"] if c["pid"])]
    inodes = set()
    for pid in pids:
        for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(descriptor)))
            except FileNotFoundError:  # closed since
                continue
    out = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            address, port = fields[1].split(":")
            out.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return out


def test_seed_example_1_moves_kv_with_tls_on_every_hop(stack):
    assert stack.url.startswith("https://")
    roles = [p["role"] for p in stack.status()["pods"] if p["state"] == "Ready"]
    assert roles.count("prefill") == 2 and roles.count("decode") == 4

    def moved():
        status, headers, text = ask(stack, messages=[{"role": "user", "content": PROMPT[0]["content"] + str(os.urandom(8))}])
        assert status == 200, text
        return int(headers["x-baton-remote-tokens"]) > 0 and headers
    headers = wait_until(moved, "a prompt that went over both legs", 30, step=0.3)
    assert headers["x-baton-prefill"].startswith("llama2-7b-disaggregated-kserve-prefill-")

    whole = json.loads(ask(stack)[2])["choices"][0]["message"]["content"]
    status, _, events = ask(stack, stream=True)
    assert status == 200
    chunks = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks) == whole


def test_a_probe_sees_kv_move_behind_a_certificate_that_nobody_signed(stack):
    told = lambda: stack.status()["services"][0].get("kvTransfer", {})  # noqa: E731
    wait_until(lambda: told().get("status") == "True", "a probe that passed", 60)


def test_every_port_of_the_stack_speaks_tls_and_none_answers_in_the_clear(stack):
    ports = listening_ports(stack)
    # The gateway, 2 prefill engines, 4 sidecars, 4 decode engines, and the KV port of each of the 6 engines.
    assert len(ports) == 1 + 2 + 4 + 4 + 6, sorted(ports)

    for host, port in sorted(ports):
        assert verified(host, port, trusted(stack)), (host, port)
        assert not verified(host, port, ssl.create_default_context()), "a stranger's authority"
        assert not in_the_clear(host, port).startswith(b"HTTP/1.1 200"), (host, port)


def test_the_gateway_scrapes_and_the_node_probes_over_tls(stack):
    gateway = trusted(stack)
    before = metric(get(f"{stack.base}/metrics", tls=gateway), "baton_gateway_scrapes_total")
    wait_until(lambda: metric(get(f"{stack.base}/metrics", tls=gateway), "baton_gateway_scrapes_total") > before + 6,
               "scrapes of TLS pods that told something")
    # Ports answer TLS only, so what is ready was probed with it.
    wait_until(lambda: len(stack.ready_pods("prefill")) == 2 and len(stack.ready_pods("decode")) == 4, "every pod to be ready")
