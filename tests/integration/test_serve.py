"""`baton serve` as its operator sees it: the terminal, stopping it, several services, what it says of what is wrong."""
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time
import urllib.parse

import pytest

from stack import BATON, MODELS, ROOT, SANITIZED, Stack, get, post, wait_until

QUICKSTART = (ROOT / "examples/quickstart.yaml").read_text()
ENVIRONMENT = {**os.environ, "BATON_MODELS_DIR": str(MODELS)}


def service(name, model, router="router: {route: {}, gateway: {}, scheduler: {}}", more=""):
    return (f"apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\nmetadata: {{name: {name}}}\nspec:\n"
            f"  model: {{uri: 'baton://storyteller', name: {model}}}\n  {router}\n{more}---\n")


def say(url, model):
    return post(f"{url}/chat/completions", {"model": model, "max_tokens": 2,
                                            "messages": [{"role": "user", "content": "Hello"}]})


def alive(pids):
    """Zombies are of nobody's concern here."""
    def state(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return [pid for pid in pids if state(pid) not in (None, "Z")]


def pids_of(stack):
    return [c["pid"] for pod in stack.pods() for c in pod["containers"] if c["pid"]]


def long_stream(stack):
    """An answer that has begun and goes on for long, and its connection."""
    where = urllib.parse.urlparse(stack.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
    connection.request("POST", "/v1/completions", json.dumps({
        "model": "storyteller", "prompt": "Once", "max_tokens": 4000, "stream": True, "ignore_eos": True}),
        {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read1(100)
    return answer, connection


class Terminal:
    """`baton serve` on a pseudo-terminal."""

    def __init__(self, rows, columns):
        self.state = tempfile.TemporaryDirectory(prefix="baton-test-")
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.settings = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([BATON, "serve", "--port", "0", "--state-dir", self.state.name], stdin=slave,
                                        stdout=slave, stderr=slave, env=ENVIRONMENT, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.output = ""

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.output += os.read(self.master, 65536).decode()
        return self.output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
        self.state.cleanup()


@pytest.mark.parametrize("columns", [80, 160])
def test_a_terminal_shows_one_screen_and_is_left_as_it_was(columns):
    with Terminal(24, columns) as terminal:
        wait_until(lambda: re.search(r"http://\S+/v1  ready", terminal.read()), "the table of a ready stack")
        table = re.split(r"\x1b\[\d*[AJ]", terminal.output)[-1].replace("\r", "")
        for word in ("POD", "ROLE", "ADDRESS", "STATE", "RESTARTS", "REQUESTS", "TOKENS/S", "KV MB", "prefill", "Ready"):
            assert word in table
        assert max(len(line) for line in table.split("\n")) < columns
        assert len(re.findall(r"ready http://127\.0\.0\.1:\d+/v1", terminal.output)) == 1
        assert "Created" not in terminal.output

        start = time.monotonic()
        os.write(terminal.master, b"\x03")
        wait_until(lambda: terminal.read() and terminal.process.poll() is not None, "the end after Ctrl-C", 5)

        assert time.monotonic() - start < 2
        assert terminal.process.returncode == 0
        assert termios.tcgetattr(terminal.slave) == terminal.settings
        assert "\x1b[?" not in terminal.output  # no mode of the terminal was changed
        assert terminal.output.endswith("\n")


def test_a_second_ctrl_c_ends_at_once_though_a_stream_runs():
    with Stack() as stack:
        _answer, connection = long_stream(stack)
        pids = pids_of(stack)
        for pod in stack.pods("decode"):
            os.kill(stack.pid(pod), signal.SIGSTOP)  # the stream will not end by itself

        stack.process.send_signal(signal.SIGINT)
        wait_until(lambda: any("Ctrl-C again" in line for line in stack.stderr), "the offer")
        start = time.monotonic()
        stack.process.send_signal(signal.SIGINT)
        stack.process.wait(timeout=10)

        assert time.monotonic() - start < (5 if SANITIZED else 1)
        assert stack.process.returncode == 130
        wait_until(lambda: not alive(pids), "no process left", 5)
        connection.close()


def test_a_running_stream_is_finished_before_serve_stops():
    with Stack() as stack:
        answer, _connection = long_stream(stack)

        stack.process.send_signal(signal.SIGINT)

        assert answer.read().endswith(b"data: [DONE]\n\n")
        assert stack.process.wait(timeout=10) == 0


def test_kill_9_of_serve_leaves_no_process_and_the_state_folder_can_be_used_again():
    with Stack() as stack:
        pids = pids_of(stack)
        stack.process.kill()
        stack.process.wait()
        wait_until(lambda: not alive(pids), "no process left", 5)

        again = subprocess.Popen([BATON, "serve", "--port", "0", "--state-dir", stack.state.name],
                                 stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        assert again.stdout.readline().startswith("ready http://")
        again.send_signal(signal.SIGTERM)
        assert again.wait(timeout=10) == 0
        assert not (pathlib.Path(stack.state.name) / "status.json").exists()


def test_services_share_the_gateway_and_one_without_router_is_served_with_a_warning(tmp_path):
    file = tmp_path / "m.yaml"
    file.write_text(service("one", "model-one") + service("bare", "model-bare", router=""))
    with Stack(files=[file]) as stack:
        assert [m["id"] for m in json.loads(get(f"{stack.url}/models"))["data"]] == ["model-bare", "model-one"]
        for model in ("model-one", "model-bare"):
            status, headers, text = say(stack.url, model)
            assert status == 200, text
            assert headers["x-baton-decode"].startswith(model.removeprefix("model-") + "-kserve")
        assert any("warn" in line and "bare" in line and "route" in line for line in stack.stderr)

        file.write_text(file.read_text() + service("two", "model-two"))
        wait_until(lambda: say(stack.url, "model-two")[0] == 200, "the service that was added")

        file.write_text("a: [\n")
        wait_until(lambda: any("m.yaml:2:1" in line for line in stack.stderr), "the place of the YAML error")
        assert say(stack.url, "model-two")[0] == 200

        file.write_text(service("one", "model-one"))
        wait_until(lambda: say(stack.url, "model-two")[0] == 404, "the service that was removed")
        wait_until(lambda: len(stack.pods()) == 1, "its pods to be gone")
        assert say(stack.url, "model-one")[0] == 200


class Running:
    """`baton serve` of a manifest that never becomes ready; its standard error so far."""

    def __init__(self, tmp_path, text, *arguments):
        (tmp_path / "m.yaml").write_text(text)
        self.file = open(tmp_path / "stderr", "w+")
        self.process = subprocess.Popen([BATON, "serve", "-f", tmp_path / "m.yaml", "--port", "0", "--state-dir",
                                         tmp_path / "state", *arguments], stdout=subprocess.PIPE, stderr=self.file,
                                        text=True, env=ENVIRONMENT)

    def says(self, *words):
        def said():
            self.file.seek(0)
            return next((line for line in self.file if all(word in line for word in words)), None)
        return wait_until(said, f"{words} on standard error")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=10)
        self.file.close()


def test_a_model_of_a_claim_is_served_split(tmp_path):  # llmisvc:J14
    file = tmp_path / "m.yaml"
    file.write_text(QUICKSTART.replace("uri: baton://storyteller", "uri: pvc://store/tales/storyteller"))
    with Stack(files=[file], env={"BATON_MODELS_DIR": str(tmp_path)}, claims={"store/tales/storyteller": MODELS / "storyteller"}) as stack:
        status, headers, text = stack.chat([{"role": "user", "content": "Write a story about a robot. " + "Take your time. " * 20}])
        assert status == 200, text
        assert int(headers["x-baton-remote-tokens"]) > 0


def test_a_gpu_that_is_not_there_keeps_the_pod_pending_and_the_stand_in_helps(tmp_path):
    wanted = service("gpu", "g", more="  template:\n    containers:\n    - name: main\n"
                                      "      resources: {limits: {nvidia.com/gpu: '99'}}\n")
    with Running(tmp_path, wanted) as running:
        running.says("pod gpu-kserve", "Pending", "nvidia.com/gpu: 99 wanted", "--stand-in storyteller")

    (tmp_path / "again.yaml").write_text(wanted)
    with Stack("--stand-in", "storyteller", files=[tmp_path / "again.yaml"]) as stack:
        assert say(stack.url, "g")[1]["x-baton-stand-in"] == "storyteller"


def test_a_program_of_the_manifest_runs_only_with_allow_exec(tmp_path):
    other = service("other", "o", more="  template:\n    containers:\n    - name: main\n"
                                       "      command: [python3, -c, 'print(\"I ran\", flush=True)']\n")
    with Running(tmp_path, other) as running:
        line = running.says("pod other-kserve", "ProgramNotAllowed", "--allow-exec")
        assert line.count("container main") == 1
    with Running(tmp_path, other, "--allow-exec") as running:
        def ran():
            listed = subprocess.run([BATON, "logs", "other-kserve", "--state-dir", tmp_path / "state"],
                                    capture_output=True, text=True)
            return "I ran" in listed.stdout
        wait_until(ran, "the program's output in baton logs")


def test_a_wildcard_listener_on_a_pod_port_is_named_and_its_end_is_noticed(tmp_path):
    with contextlib.ExitStack() as holding:
        holder = holding.enter_context(socket.create_server(("0.0.0.0", 0)))
        port = holder.getsockname()[1]
        with Running(tmp_path, service("held", "h", more="  template:\n    containers:\n    - name: main\n"
                                       f"      ports: [{{containerPort: {port}}}]\n")) as running:
            running.says("pod held-kserve", "Pending", f"port {port}", str(os.getpid()))

            holding.close()

            running.says("pod held-kserve", "Starting")


def test_an_address_beyond_this_machine_without_keys_is_warned_about_once():
    with Stack("--host", "0.0.0.0") as stack:
        assert len([line for line in stack.stderr if "API key" in line and "warn" in line]) == 1


def test_keys_are_asked_for_in_the_openai_shape(tmp_path):
    (tmp_path / "keys").write_text("first\nsecond\n")
    with Stack("--api-key-file", tmp_path / "keys") as stack:
        for key, expected in (("first", 200), ("second", 200), ("third", 401)):
            status, headers, text = post(f"{stack.url}/completions", {"model": "storyteller", "prompt": "x",
                                         "max_tokens": 1}, {"Authorization": f"Bearer {key}"})
            assert status == expected, text
        error = json.loads(text)["error"]
        assert error["code"] == 401 and error["type"] == "AuthenticationError" and error["message"]
        assert headers["www-authenticate"] == "Bearer" and headers["x-baton-error-hop"] == "gateway"
        assert get(f"{stack.base}/health") == ""
    (tmp_path / "keys").write_text("\n")
    empty = subprocess.run([BATON, "serve", "--api-key-file", tmp_path / "keys", "--state-dir", tmp_path / "s",
                            "--port", "0"], capture_output=True, text=True, env=ENVIRONMENT, timeout=20)
    assert empty.returncode == 2 and "keys" in empty.stderr


def test_a_state_folder_that_cannot_be_used_is_named(tmp_path):
    def serve(folder, environment=ENVIRONMENT):
        return subprocess.run([BATON, "serve", "--port", "0", "--state-dir", folder], capture_output=True, text=True,
                              env=environment, timeout=20)

    with Stack() as stack:
        held = serve(stack.state.name)
    assert held.returncode == 5 and str(stack.process.pid) in held.stderr
    (tmp_path / "file").touch()
    wrong = serve(tmp_path / "file/state")
    assert wrong.returncode == 3 and str(tmp_path / "file/state") in wrong.stderr
    missing = serve(tmp_path / "ok", {**ENVIRONMENT, "BATON_MODELS_DIR": str(tmp_path / "nowhere")})
    assert missing.returncode == 4 and str(tmp_path / "nowhere") in missing.stderr


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_lists_the_commands(word):
    shown = subprocess.run([BATON, word], capture_output=True, text=True)
    assert shown.returncode == 0 and "serve" in shown.stdout and not shown.stderr


@pytest.mark.parametrize("command", ["serve", "engine", "chat", "logs", "plan", "gateway", "sidecar", "bench", "pull", "models",
                                     "rm"])
def test_the_help_of_every_command_has_an_example_and_a_wrong_flag_gets_the_nearest(command):
    shown = subprocess.run([BATON, command, "--help"], capture_output=True, text=True)
    assert shown.returncode == 0 and f"Example: baton {command}" in shown.stdout

    wrong = subprocess.run([BATON, command, "--hlep"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "--help" in wrong.stderr.split("\n")[0]
