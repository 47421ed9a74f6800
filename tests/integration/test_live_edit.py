"""Replicas follow the file while serve runs; logs can be read."""
import os
import subprocess

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


def test_logs_of_a_container_can_be_read():
    with Stack() as stack:
        pod = stack.pods("prefill")[0]["name"]
        done = subprocess.run([BATON, "logs", pod, "-c", "main", "--state-dir", stack.state.name],
                              capture_output=True, text=True, env=os.environ)

        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
