"""`baton serve MODEL` without a manifest, and models of a hub in manifests: downloaded once, then used offline."""
import json
import os
import signal
import subprocess
import threading

import pytest

from scripted_hub import COMMIT, Hub, hold, sha256, status
from stack import BATON, FIRST_TURN, MODELS, Stack, get, wait_until

FILES = {p.name: p.read_bytes() for p in (MODELS / "storyteller").iterdir()}
WEIGHTS = FILES["model.safetensors"]


@pytest.fixture
def hub():
    with Hub(dict(FILES)) as running:
        yield running


@pytest.fixture
def environment(hub, tmp_path):
    return {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_TOKEN": "", "HF_HUB_OFFLINE": ""}


def answers(stack, model):
    status_code, headers, text = stack.chat(FIRST_TURN, model=model)  # long enough to be split
    assert status_code == 200, text
    return headers, json.loads(text)["choices"][0]["message"]["content"]


def test_a_model_of_the_hub_is_served_split_without_a_manifest(hub, environment):
    with Stack("test/model", "--pd", files=(), env=environment) as stack:
        headers, _ = answers(stack, "test/model")
        assert len(stack.pods("prefill")) == len(stack.pods("decode")) == 1
        assert headers["x-baton-prefill"].startswith("model-")
        shown = "".join(stack.stderr)
    assert 'uri: "hf://test/model"' in shown and "prefill:" in shown  # the manifest
    assert len(hub.storage.requests) == 1  # for both pods


def test_what_is_downloaded_is_served_offline_by_one_pod(hub, environment):
    subprocess.run([BATON, "pull", "test/model"], env={**os.environ, **environment}, check=True, capture_output=True)
    hub.requests.clear()
    with Stack("test/model", "--standard", files=(), env={**environment, "HF_HUB_OFFLINE": "1"}) as stack:
        answers(stack, "test/model")
        assert not stack.pods("prefill")
    assert not hub.requests


def test_a_model_in_use_is_not_removed(environment):
    def rm():
        return subprocess.run([BATON, "rm", "test/model"], env={**os.environ, **environment}, capture_output=True,
                              text=True, timeout=20)

    with Stack("test/model", files=(), env=environment):
        refused = rm()
        assert refused.returncode == 5 and "is in use" in refused.stderr
    assert rm().returncode == 0


def test_the_model_that_comes_with_baton_and_a_folder_need_no_manifest_either():
    with Stack("storyteller", files=()) as stack:
        _, ours = answers(stack, "storyteller")
    with Stack(str(MODELS / "storyteller"), "--pd", files=()) as stack:
        _, theirs = answers(stack, "storyteller")
    assert ours == theirs


def test_the_manifest_can_be_shown_kept_and_served(tmp_path):
    shown = subprocess.run([BATON, "serve", "storyteller", "--pd", "--print-manifest", "--state-dir", tmp_path / "state"],
                           env={**os.environ, "BATON_MODELS_DIR": str(MODELS)}, capture_output=True, text=True, timeout=20)
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "mine.yaml").write_text(shown.stdout)
    with Stack(files=(tmp_path / "mine.yaml",)) as stack:
        answers(stack, "storyteller")
        assert stack.pods("prefill")


@pytest.mark.parametrize("words, code, says", [
    (["storyteller", "-f", "x.yaml"], 2, "excludes"),
    (["--pd"], 2, "requires"),
    (["storyteller", "--pd", "--standard"], 2, "excludes"),
    (["/no/such/folder"], 4, "no folder with a config.json"),
    (["a/b/c"], 2, "expected hf://ORG/NAME"),
])
def test_what_serve_cannot_make_a_manifest_of_is_said(tmp_path, words, code, says):
    done = subprocess.run([BATON, "serve", "--state-dir", tmp_path, *words], capture_output=True, text=True, timeout=20)
    assert done.returncode == code and says in done.stderr, done.stderr


def test_a_model_that_cannot_be_had_ends_serve_with_the_reason(hub, environment, tmp_path):
    hub.token = "hf_other"
    done = subprocess.run([BATON, "serve", "test/model", "--port", "0", "--state-dir", tmp_path / "state"],
                          env={**os.environ, **environment}, capture_output=True, text=True, timeout=20)
    assert done.returncode == 3
    assert "needs HF_TOKEN" in done.stderr and "baton serve: model hf://test/model is not here" in done.stderr


def test_ctrl_c_ends_a_download_which_goes_on_later(hub, environment, tmp_path):
    release = threading.Event()
    hub.storage.fault("/", hold(WEIGHTS, 1_000_000, release))
    with subprocess.Popen([BATON, "serve", "test/model", "--port", "0", "--state-dir", tmp_path / "state"],
                          env={**os.environ, **environment}, stderr=subprocess.DEVNULL) as serve:
        partial = tmp_path / "hub/models--test--model/blobs" / f"{sha256(WEIGHTS)}.incomplete"
        wait_until(lambda: partial.exists() and partial.stat().st_size == 1_000_000, "half of the weights")
        serve.send_signal(signal.SIGINT)
        assert serve.wait(10) == 130
    release.set()
    with Stack("test/model", files=(), env=environment) as stack:
        answers(stack, "test/model")
    assert hub.storage.requests[-1][1]["Range"] == "bytes=1000000-"


MANIFEST = """
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {name: live}
spec:
  model: {uri: "%s", name: live}
  replicas: 1
  prefill: {replicas: 1}
  router: {route: {}, scheduler: {}}
"""


@pytest.mark.parametrize("mounts", ["auto", "rewrite"])
def test_pods_of_an_edited_manifest_download_the_model_themselves_and_only_once(hub, environment, tmp_path, mounts):
    file = tmp_path / "service.yaml"
    file.write_text(MANIFEST % "baton://storyteller")
    hub.storage.fault("/", status(503))  # the init containers' process tries again
    with Stack("--mounts", mounts, files=(file,), env=environment) as stack:
        old = {p["name"] for p in stack.pods()}
        file.write_text(MANIFEST % "hf://test/model")

        wait_until(lambda: len(stack.pods()) == 2 and all(
            p["state"] == "Ready" and p["name"] not in old for p in stack.pods()), "the new pods", 60)
        headers, _ = answers(stack, "live")

    assert headers["x-baton-prefill"].startswith("live")
    assert len(hub.storage.requests) == 2
    assert (tmp_path / "hub/models--test--model/refs/main").read_text() == COMMIT


def test_an_edit_while_the_model_of_a_manifest_is_downloaded_is_seen(hub, environment, tmp_path):
    file = tmp_path / "service.yaml"
    file.write_text(MANIFEST % "hf://test/model")

    def edit(_):
        file.write_text((MANIFEST % "hf://test/model").replace("name: live}\n  replicas", "name: edited}\n  replicas"))
        return False  # the weights come as ever

    hub.storage.fault("/", edit)
    with Stack(files=(file,), env=environment) as stack:
        wait_until(lambda: '"edited"' in get(f"{stack.url}/models"), "the model's new name", 60)
