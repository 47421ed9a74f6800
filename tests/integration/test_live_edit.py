"""Replicas follow the file while serve runs; logs can be read."""
import concurrent.futures
import os
import subprocess
import threading

from stack import BATON, ROOT, Stack, wait_until

QUICKSTART = (ROOT / "examples/quickstart.yaml").read_text()


def test_replicas_follow_the_file(tmp_path):
    file = tmp_path / "m.yaml"
    file.write_text(QUICKSTART)
    with Stack(files=[file]) as stack:
        file.write_text(QUICKSTART.replace("replicas: 2", "replicas: 3"))
        wait_until(lambda: len(stack.ready_pods("decode")) == 3, "three decode pods")

        file.write_text(QUICKSTART.replace("replicas: 2", "replicas: 1"))
        wait_until(lambda: len(stack.pods("decode")) == 1, "one decode pod")

        file.write_text(QUICKSTART.replace("replicas: 2", "replicas: -1"))
        wait_until(lambda: any("/spec/replicas" in line for line in stack.stderr), "the refusal of the bad edit")
        assert len(stack.ready_pods("decode")) == 1
        assert stack.chat([{"role": "user", "content": "Hello"}])[0] == 200


def test_what_came_by_standard_input_outlives_an_edit_of_a_file(tmp_path):
    piped, file = tmp_path / "piped.yaml", tmp_path / "m.yaml"
    piped.write_text(QUICKSTART)
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\nstringData: {a: %s}\n"
    file.write_text(secret % "one")
    with Stack(files=["-", file], stdin=piped) as stack:
        file.write_text(secret % "two")
        wait_until(lambda: "manifests applied\n" in stack.stderr, "the edit")
        assert len(stack.ready_pods("decode")) == 2
        assert stack.chat([{"role": "user", "content": "Hello"}])[0] == 200


def test_no_request_fails_while_pods_are_replaced(tmp_path):
    file = tmp_path / "m.yaml"
    file.write_text(QUICKSTART)
    with Stack(files=[file]) as stack, concurrent.futures.ThreadPoolExecutor(6) as pool:
        before = {pod["name"] for pod in stack.pods("decode")}
        replaced = threading.Event()

        def ask(client):
            answers = []
            while not replaced.is_set():
                answers.append(stack.chat([{"role": "user", "content": f"{client} {len(answers)} " + "and then " * 50}],
                                          max_tokens=200, ignore_eos=True))
            return answers

        clients = [pool.submit(ask, client) for client in range(6)]
        try:
            file.write_text(QUICKSTART.replace("  replicas: 2", """  replicas: 2
  template:
    containers:
    - name: main
      env: [{name: VLLM_ADDITIONAL_ARGS, value: --block-size 32}]"""))
            wait_until(lambda: {p["name"] for p in stack.ready_pods("decode")}.isdisjoint(before)
                       and len(stack.pods("decode")) == 2, "both decode pods to be new ones")
        finally:
            replaced.set()
        answers = [answer for client in clients for answer in client.result()]
        assert len(answers) > 6
        assert {status for status, _, _ in answers} == {200}


def test_the_whole_name_of_a_pod_is_never_ambiguous(tmp_path):
    for log in ("a/x-0/main", "a/x-0-1/main", "a/x-0-1/storage-initializer", "a/y-0/main", "b/y-0/main"):
        (tmp_path / "logs" / log).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "logs" / f"{log}.log").write_text(f"of {log}\n")

    def logs(*words):
        return subprocess.run([BATON, "logs", *words, "--state-dir", tmp_path], capture_output=True, text=True, timeout=20)

    assert [logs(name).stdout for name in ("x-0", "a/x-0", "x-0-1")] == ["of a/x-0/main\n", "of a/x-0/main\n", "of a/x-0-1/main\n"]
    assert logs("b/y-0").stdout == "of b/y-0/main\n"
    assert logs("x-", "-c", "storage-initializer").stdout == "of a/x-0-1/storage-initializer\n"
    for name in ("x-", "y-0"):
        done = logs(name)
        assert done.returncode == 2 and not done.stdout and f"'{name}' could be:" in done.stderr
    absent = logs("x-0", "-c", "storage-initializer")
    assert (absent.returncode, absent.stdout) == (4, "")


def test_logs_of_a_container_can_be_read():
    with Stack() as stack:
        pod = stack.pods("prefill")[0]["name"]
        done = subprocess.run([BATON, "logs", pod, "-c", "main", "--state-dir", stack.state.name],
                              capture_output=True, text=True, env=os.environ)

        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
