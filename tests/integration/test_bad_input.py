"""What bad input gets: a clear error that names the place; nothing started, nothing lost."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.parse

import pytest

from stack import BATON, MODELS, ROOT, Stack, get, post, wait_until

QUICKSTART = (ROOT / "examples/quickstart.yaml").read_text()


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        yield running


def baton(*arguments, seconds=20):
    return subprocess.run([BATON, *map(str, arguments)], capture_output=True, text=True, timeout=seconds,
                          env={**os.environ, "BATON_MODELS_DIR": str(MODELS), "HF_HUB_OFFLINE": "1"})


@pytest.mark.parametrize("words", [["crds"], ["plan", "-o", "yaml"], ["--help"], ["logs", "x-0"]])
def test_output_that_cannot_be_written_is_no_success(words, tmp_path):
    (tmp_path / "baton/8080/logs/default/x-0").mkdir(parents=True)
    (tmp_path / "baton/8080/logs/default/x-0/main.log").write_text("a line\n")
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    with open("/dev/full", "w") as full:
        done = subprocess.run([BATON, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, env=env)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (7, "baton: standard output: No space left on device")

    reads, writes = os.pipe()
    os.close(reads)  # `baton crds | head -1`, once head has left
    with open(writes, "w") as closed:
        done = subprocess.run([BATON, *words], stdout=closed, stderr=subprocess.PIPE, text=True, timeout=20, env=env)
    assert done.returncode == 7 and "standard output" not in done.stderr


def test_lost_output_is_told_beside_another_exit_code():
    with open("/dev/full", "w") as full:
        done = subprocess.run([BATON], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (2, "baton: standard output: No space left on device\n")


def test_an_error_that_cannot_be_told_keeps_its_exit_code(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BATON, "plan", "-f", tmp_path / "none.yaml"], stderr=full, timeout=20)
    assert done.returncode == baton("plan", "-f", tmp_path / "none.yaml").returncode > 0


def serve(tmp_path, text, *more):
    file = tmp_path / "m.yaml"
    file.write_text(text)
    return baton("serve", "-f", file, "--port", "0", "--state-dir", tmp_path / "state", *more)


def replace(old, new):
    assert old in QUICKSTART
    return QUICKSTART.replace(old, new)


@pytest.mark.parametrize("text, code, words", [
    ("a: [1, 2\nb: 3\n", 2, ["m.yaml:"]),
    (replace("kind: LLMInferenceService", "kind: LLMInferenceServise"), 2, ["LLMInferenceServise", "LLMInferenceService"]),
    (replace("replicas: 2", "replicas: -1"), 2, ["/spec/replicas", "-1"]),
    (replace("  model:\n    uri: baton://storyteller\n    name: storyteller\n", ""), 2, ["/spec/model"]),
    (replace("  replicas: 2", "  baseRefs: [{name: no-such-config}]\n  replicas: 2"), 4, ["no-such-config"]),
    (replace("type: load-aware-scorer", "type: load-awear-scorer"), 2, ["load-awear-scorer", "load-aware-scorer"]),
    (replace("type: max-score-picker", "type: max-scor-picker"), 2, ["/type", "'max-scor-picker'", "'max-score-picker'"]),
    (replace("threshold: 100", "treshold: 100"), 2, ["treshold", "threshold"]),
    (replace("baton://storyteller", "baton://no-such-model"), 4, ["no-such-model"]),
    (replace("baton://storyteller", "hf://no/such"), 4, ["no/such"]),
])
def test_a_wrong_manifest_gets_one_clear_error(tmp_path, text, code, words):
    done = serve(tmp_path, text)

    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    assert not done.stdout


def test_an_unknown_field_in_a_manifest_is_a_warning_with_the_nearest_name(tmp_path):
    file = tmp_path / "m.yaml"
    file.write_text(replace("  replicas: 2", "  repilcas: 2"))

    done = baton("plan", "-f", file)

    assert done.returncode == 0, done.stderr
    assert "repilcas" in done.stderr and "replicas" in done.stderr


def test_plan_warns_of_a_service_that_asks_for_no_route(tmp_path):
    file = tmp_path / "m.yaml"
    file.write_text(replace("    route: {}\n    gateway: {}\n", ""))

    assert "/spec/router: the service asks for no route" in baton("plan", "-f", file).stderr
    assert "no route" not in baton("plan", "-f", ROOT / "examples/quickstart.yaml").stderr


def test_a_missing_file_and_a_misspelt_command_say_so(tmp_path):
    assert "no-such-file.yaml" in baton("serve", "-f", tmp_path / "no-such-file.yaml").stderr
    wrong = baton("sevre")
    assert wrong.returncode == 2 and "serve" in wrong.stderr


def test_a_taken_port_names_who_has_it(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        done = baton("serve", "--port", holder.getsockname()[1], "--state-dir", tmp_path)

    assert done.returncode == 5
    assert str(os.getpid()) in done.stderr


def test_a_broken_model_folder_says_what_is_broken(tmp_path):
    shutil.copytree(MODELS / "storyteller", tmp_path / "m")
    (tmp_path / "m/tokenizer.json").unlink()
    assert "tokenizer.json" in baton("engine", tmp_path / "m", "--port", "0").stderr

    shutil.copy(MODELS / "storyteller/tokenizer.json", tmp_path / "m")
    weights = tmp_path / "m/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    truncated = baton("engine", tmp_path / "m", "--port", "0")
    assert truncated.returncode == 2 and "model.safetensors" in truncated.stderr


@pytest.mark.parametrize("body, status, words", [
    (b'{"model": "storyteller", "messages": [', 400, ["JSON"]),
    (b'{"model": "storyteller", "messages": [{"role":"user","content":"\xff"}]}', 400, []),
    ({"model": "nope", "messages": [{"role": "user", "content": "x"}]}, 404, ["nope", "storyteller"]),
    ({"model": "storyteller", "messages": [{"role": "user", "content": "x"}], "temperature": -1}, 400, ["temperature"]),
    ({"model": "storyteller", "messages": []}, 400, ["conversation"]),
    ({"model": "storyteller", "messages": [{"role": "user", "content": "x"}], "logit_bias": {"99999": 5}}, 400, ["logit_bias"]),
    ({"model": "storyteller", "messages": [{"role": "user", "content": "word " * 9000}]}, 400, ["4096"]),
    ({"model": "storyteller", "messages": [{"role": "user", "content": "x"}], "max_tokens": 100000}, 400, ["4096"]),
])
def test_a_wrong_request_gets_an_openai_error_with_the_reason(stack, body, status, words):
    code, _, text = post(f"{stack.url}/chat/completions", body)

    assert code == status, text
    error = json.loads(text)["error"]
    for word in words:
        assert word in error["message"]


def test_a_body_over_the_limit_is_refused_without_being_read(stack):
    where = urllib.parse.urlparse(stack.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n{")
        assert s.recv(4096).startswith(b"HTTP/1.1 413")


def test_headers_over_the_limit_are_refused(stack):
    where = urllib.parse.urlparse(stack.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as s:
        with contextlib.suppress(ConnectionError):
            s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 431")


def test_a_slow_client_is_timed_out_and_others_are_served(stack):
    where = urllib.parse.urlparse(stack.url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as slow:
        slow.sendall(b"GET /v1/models HTT")
        assert "storyteller" in get(f"{stack.url}/models")
        slow.settimeout(20)
        answer = slow.recv(4096)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_never_reads_costs_bounded_memory(stack):
    def rss():
        return int(next(l for l in pathlib.Path(f"/proc/{stack.process.pid}/status").read_text().splitlines()
                        if l.startswith("VmRSS")).split()[1])

    where = urllib.parse.urlparse(stack.url)
    before = rss()
    body = json.dumps({"model": "storyteller", "messages": [{"role": "user", "content": "Write a story about a bear"}],
                       "stream": True, "ignore_eos": True, "max_tokens": 3000}).encode()
    with contextlib.ExitStack() as open_sockets:
        for _ in range(8):
            s = open_sockets.enter_context(socket.create_connection((where.hostname, where.port), timeout=20))
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            assert rss() - before < 64 * 1024
            time.sleep(0.1)
