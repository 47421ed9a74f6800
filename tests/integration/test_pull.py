"""`baton pull` against a scripted hub: what it gets, what it survives, what it refuses."""
import hashlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import threading

import pytest

from scripted_hub import COMMIT, Hub, cut, hold, sha256, status, whole
from stack import BATON, wait_until

WEIGHTS = hashlib.shake_256(b"weights").digest(3_000_000)
SHARD = hashlib.shake_256(b"shard").digest(50_000)
FILES = {
    "config.json": b'{"model_type":"llama"}',
    "tokenizer.json": b'{"model":{}}' * 100,
    "tokenizer_config.json": b"{}",
    "generation_config.json": b'{"a":1}',
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": WEIGHTS,
    "README.md": b"# no need",
    "pytorch_model.bin": b"no need",
    "modeling.py": b"raise SystemExit('never run')",
    "onnx/config.json": b"no need",
}
NEEDED = {name for name in FILES if name.endswith((".json", ".jinja", ".safetensors")) and "/" not in name}


@pytest.fixture
def hub():
    with Hub(dict(FILES)) as running:
        yield running


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "hub"


def environment(hub, cache, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**kept, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache), "HOME": str(cache.parent), **more}


def pull(hub, cache, *arguments, model="test/model", seconds=60, **more):
    options = {name: more.pop(name) for name in ("preexec_fn",) if name in more}
    return subprocess.run([BATON, "pull", model, *arguments], env=environment(hub, cache, **more), timeout=seconds,
                          capture_output=True, text=True, **options)


def blobs(cache):
    return cache / "models--test--model/blobs"


def whole_model(cache, files=None):
    """Every needed file is there, with the right bytes, under the hash of them."""
    files = files or {name: FILES[name] for name in NEEDED}
    folder = cache / "models--test--model/snapshots" / COMMIT
    assert {p.name for p in folder.iterdir()} == set(files)
    for name, content in files.items():
        link = folder / name
        assert link.is_symlink() and os.readlink(link).startswith("../../blobs/")
        assert link.read_bytes() == content
    assert (cache / "models--test--model/refs/main").read_text() == COMMIT
    assert not list(blobs(cache).glob("*.incomplete"))
    return True


def test_gets_what_is_needed_into_the_shared_layout_and_prints_the_folder(hub, cache):
    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    assert whole_model(cache)
    assert done.stdout.strip() == str(cache / "models--test--model/snapshots" / COMMIT)
    assert (blobs(cache) / sha256(WEIGHTS)).exists()
    assert not hub.asked("README") and not hub.asked("modeling.py") and not hub.asked("onnx")


def test_a_second_pull_asks_what_is_new_and_downloads_nothing(hub, cache):
    assert pull(hub, cache).returncode == 0
    before = len(hub.storage.requests)

    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    assert len(hub.storage.requests) == before and hub.asked("/revision/main")
    hub.requests.clear()
    assert pull(hub, cache, "--cached").returncode == 0
    assert not hub.requests


def test_what_the_hub_has_newer_is_pulled_and_the_old_commit_stays(hub, cache):
    assert pull(hub, cache).returncode == 0
    hub.commit = "d" * 40
    hub.files["config.json"] = b'{"model_type":"llama","new":1}'

    assert pull(hub, cache).returncode == 0

    snapshots = cache / "models--test--model/snapshots"
    assert {p.name for p in snapshots.iterdir()} == {COMMIT, hub.commit}
    assert (cache / "models--test--model/refs/main").read_text() == hub.commit
    assert len(hub.storage.requests) == 1  # the weights are the same


def test_an_index_says_which_shards_are_needed(hub, cache):
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
    del hub.files["model.safetensors"]
    hub.files |= {"model-1.safetensors": SHARD, "model-2.safetensors": WEIGHTS, "consolidated.safetensors": b"x",
                  "model.safetensors.index.json": index}

    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    needed = {n: c for n, c in hub.files.items() if n in NEEDED or n.startswith("model")} | {}
    needed.pop("modeling.py")
    assert whole_model(cache, needed)
    assert len(hub.storage.requests) == 2


def test_a_connection_that_breaks_goes_on_where_it_was(hub, cache):
    hub.storage.fault("/", cut(WEIGHTS, 1_000_000), cut(WEIGHTS, 500_000))

    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    assert whole_model(cache)
    ranges = [headers.get("Range") for _, headers in hub.storage.requests]
    assert ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_killed_pull_is_gone_on_with_by_the_next_one(hub, cache):
    release = threading.Event()
    hub.storage.fault("/", hold(WEIGHTS, 2_000_000, release))
    with subprocess.Popen([BATON, "pull", "test/model"], env=environment(hub, cache), stderr=subprocess.DEVNULL) as first:
        partial = blobs(cache) / f"{sha256(WEIGHTS)}.incomplete"
        wait_until(lambda: partial.exists() and partial.stat().st_size == 2_000_000, "two thirds of the weights")
        first.send_signal(signal.SIGKILL)
    release.set()
    assert not (cache / "models--test--model/refs/main").exists()

    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    assert "going on after 2000000 of 3000000 bytes" in done.stderr
    assert whole_model(cache)
    assert hub.storage.requests[-1][1]["Range"] == "bytes=2000000-"


def test_what_a_killed_pull_of_a_commit_leaves_is_not_taken_for_complete(hub, cache):
    del hub.files["model.safetensors"]
    hub.files |= {"a.safetensors": SHARD, "b.safetensors": WEIGHTS}
    model = f"test/model@{COMMIT}"
    release = threading.Event()
    hub.storage.fault(sha256(WEIGHTS), hold(WEIGHTS, 2_000_000, release))
    with subprocess.Popen([BATON, "pull", model], env=environment(hub, cache), stderr=subprocess.DEVNULL) as first:
        partial = blobs(cache) / f"{sha256(WEIGHTS)}.incomplete"
        wait_until(lambda: partial.exists() and partial.stat().st_size == 2_000_000, "two thirds of the second file")
        first.send_signal(signal.SIGKILL)
    release.set()

    done = pull(hub, cache, "--cached", model=model)

    assert done.returncode == 0, done.stderr
    folder = cache / "models--test--model/snapshots" / COMMIT
    assert (folder / "a.safetensors").read_bytes() == SHARD
    assert (folder / "b.safetensors").read_bytes() == WEIGHTS


def test_a_server_without_ranges_sends_it_all_again(hub, cache):
    hub.storage.fault("/", cut(WEIGHTS, 1_000_000), whole(WEIGHTS, etag="cut", honours_ranges=False))

    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    assert whole_model(cache)


def test_a_server_without_ranges_that_breaks_off_each_time_is_given_up(hub, cache):
    hub.storage.fault("/", *[cut(WEIGHTS, 1_000_000, honours_ranges=False)] * 20)

    done = pull(hub, cache)

    assert done.returncode == 7, done.stderr
    assert len(hub.storage.requests) == 5


def test_a_file_that_changes_between_two_pieces_is_begun_anew(hub, cache):
    other = bytes(reversed(WEIGHTS))
    # Not behind the redirect that names the file's hash: as a plain server has it.
    hub.is_large = lambda name: False
    hub.fault("/cache/model.safetensors", cut(other, 1_000_000, etag="old"), whole(WEIGHTS, etag="new"))

    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    assert "changed on the hub between two pieces" in done.stderr
    assert whole_model(cache)


@pytest.mark.parametrize("wrong, says", [
    (bytes(len(WEIGHTS)), "it hashes to"),
    (WEIGHTS[:-1], "the hub has 2999999 bytes, listed are 3000000"),
    (WEIGHTS + b"x", "the hub has 3000001 bytes, listed are 3000000"),
])
def test_other_bytes_than_listed_are_thrown_away_and_asked_for_again(hub, cache, wrong, says):
    hub.storage.fault("/", whole(wrong))

    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    assert says in done.stderr
    assert whole_model(cache)


def test_other_bytes_three_times_are_an_error_and_no_blob(hub, cache):
    hub.storage.fault("/", *[whole(bytes(len(WEIGHTS)))] * 3)

    done = pull(hub, cache)

    assert done.returncode == 7
    assert "model.safetensors: it hashes to" in done.stderr and "given up" in done.stderr
    assert not (blobs(cache) / sha256(WEIGHTS)).exists()


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub, cache):
    hub.token = "hf_secret"
    denied = pull(hub, cache)
    wrong = pull(hub, cache, HF_TOKEN="hf_wrong")

    done = pull(hub, cache, HF_TOKEN="hf_secret")

    assert denied.returncode == wrong.returncode == 3
    assert "needs HF_TOKEN" in denied.stderr and "Invalid credentials" in denied.stderr
    assert "HF_TOKEN is not good for test/model" in wrong.stderr
    assert done.returncode == 0, done.stderr
    assert hub.storage.requests and not any("Authorization" in headers for _, headers in hub.storage.requests)
    for text in (done.stderr, done.stdout, denied.stderr, wrong.stderr):
        assert "hf_" not in text


@pytest.mark.parametrize("path, fault, code, says", [
    ("/revision/", status(403, {"X-Error-Code": "GatedRepo"}), 3, "accept its conditions"),
    ("/revision/", status(404), 4, "there is no test/model"),
    ("/revision/", status(200, body=b"<html>"), 2, "names no commit"),
    ("/tree/", status(200, body=b'{"a":1}'), 2, "no JSON array"),
    ("/revision/", status(418), 7, "HTTP 418"),
    ("/revision/", status(429, {"Retry-After": "7200"}), 6, "come again in 7200 s"),
    ("/revision/", status(302, {"Location": "ftp://elsewhere/"}), 2, "is no http:// or https:// address"),
    ("/tree/", status(200, {"Content-Encoding": "gzip"}), 7, "encoded"),
])
def test_an_answer_that_is_none_is_one_clear_line(hub, cache, path, fault, code, says):
    hub.fault(path, fault)

    done = pull(hub, cache)

    assert done.returncode == code, done.stderr
    assert says in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("baton pull: model test/model: ")


def test_an_unknown_revision_and_a_name_that_is_none_are_told_apart(hub, cache):
    assert "no such revision" in pull(hub, cache, model="test/model@nope").stderr
    assert pull(hub, cache, model="test/../model").returncode == 2


def test_a_busy_hub_is_asked_again_when_it_says(hub, cache):
    hub.fault("/revision/", status(429, {"Retry-After": "1"}), status(503))

    done = pull(hub, cache)

    assert done.returncode == 0, done.stderr
    assert "HTTP 429" in done.stderr and "again in 1.0 s" in done.stderr and "HTTP 503" in done.stderr


def test_redirects_in_a_circle_end(hub, cache):
    hub.fault("/revision/", *[status(302, {"Location": "?again"})] * 20)

    done = pull(hub, cache)

    assert done.returncode == 7 and "redirects more than 8 times" in done.stderr


@pytest.mark.parametrize("path", ["../../escaped", "/etc/escaped", "a/../../escaped"])
def test_a_file_that_would_leave_its_folder_is_refused(hub, cache, path):
    hub.extra_entries = [{"type": "file", "path": path, "oid": "a" * 40, "size": 1}]

    done = pull(hub, cache)

    assert done.returncode == 2 and "its path is refused" in done.stderr
    assert not list(cache.parent.rglob("escaped"))


def test_an_index_that_names_a_file_elsewhere_is_refused(hub, cache):
    hub.files["model.safetensors.index.json"] = json.dumps({"weight_map": {"a": "../config.json"}}).encode()

    done = pull(hub, cache)

    assert done.returncode == 2 and "names a file that is refused" in done.stderr


def test_weights_of_another_kind_are_named(hub, cache):
    del hub.files["model.safetensors"]

    done = pull(hub, cache)

    assert done.returncode == 4 and "no safetensors weights (only pytorch_model.bin)" in done.stderr


def test_a_full_disk_is_said_and_what_came_is_kept(hub, cache):
    done = pull(hub, cache, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))

    assert done.returncode == 6, done.stderr
    assert "(after 1000000 of 3000000 bytes): make room" in done.stderr
    assert pull(hub, cache).returncode == 0
    assert whole_model(cache)
    assert hub.storage.requests[-1][1]["Range"] == "bytes=1000000-"


def test_more_than_the_disk_has_is_refused_before_it_begins(hub, cache):
    hub.extra_entries = [{"type": "file", "path": "model.safetensors", "oid": "a" * 40, "size": 1 << 39,
                          "lfs": {"oid": "a" * 64, "size": 1 << 39}}]
    del hub.files["model.safetensors"]

    done = pull(hub, cache)

    assert done.returncode == 6 and "are free in" in done.stderr, done.stderr
    assert not hub.asked("/resolve/")


def test_two_pulls_at_once_are_one_download(hub, cache):
    release = threading.Event()
    hub.storage.fault("/", hold(WEIGHTS, 1_500_000, release))
    with subprocess.Popen([BATON, "pull", "test/model"], env=environment(hub, cache), stderr=subprocess.PIPE) as first:
        wait_until(lambda: hub.storage.requests, "the first one at the weights")
        with subprocess.Popen([BATON, "pull", "--cached", "test/model"], env=environment(hub, cache),
                              stderr=subprocess.PIPE, text=True) as second:
            line = second.stderr.readline()
            assert line == f"test/model: process {first.pid} downloads it; waiting\n"
            release.set()
            assert second.wait(30) == 0
        first.communicate(timeout=30)
        assert first.returncode == 0
    assert whole_model(cache)
    assert len(hub.storage.requests) == 1


def test_who_waits_goes_on_when_the_other_one_is_killed(hub, cache):
    release = threading.Event()
    hub.storage.fault("/", hold(WEIGHTS, 1_500_000, release))
    partial = blobs(cache) / f"{sha256(WEIGHTS)}.incomplete"
    with subprocess.Popen([BATON, "pull", "test/model"], env=environment(hub, cache), stderr=subprocess.DEVNULL) as first:
        wait_until(lambda: partial.exists() and partial.stat().st_size == 1_500_000, "half of the weights")
        with subprocess.Popen([BATON, "pull", "test/model"], env=environment(hub, cache), stderr=subprocess.PIPE,
                              text=True) as second:
            assert "waiting" in second.stderr.readline()
            first.send_signal(signal.SIGKILL)
            assert second.wait(30) == 0
    release.set()
    assert whole_model(cache)
    assert hub.storage.requests[-1][1]["Range"] == "bytes=1500000-"


def test_offline_the_cache_is_all_there_is(hub, cache):
    refused = pull(hub, cache, HF_HUB_OFFLINE="1")
    assert refused.returncode == 9 and "HF_HUB_OFFLINE forbids" in refused.stderr
    assert pull(hub, cache).returncode == 0
    hub.requests.clear()

    done = pull(hub, cache, HF_HUB_OFFLINE="1")

    assert done.returncode == 0 and not hub.requests
    assert done.stdout.strip().endswith(COMMIT)


def test_a_hub_that_is_not_there_is_named(hub, cache):
    done = pull(hub, cache, HF_ENDPOINT="http://127.0.0.1:1")

    assert done.returncode == 7
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1]


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=hub",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def test_over_tls_the_certificate_counts_and_plain_redirects_do_not(cache, tmp_path):
    pair = certificate(tmp_path)
    with Hub(dict(FILES), certificate=pair, storage_certificate=pair) as hub:
        trusted = {"SSL_CERT_FILE": str(pair[0])}
        done = pull(hub, cache, **trusted)
        assert done.returncode == 0, done.stderr
        assert whole_model(cache)
        hub.fault("/revision/", status(302, {"Location": "http://127.0.0.1:1/"}))
        plain = pull(hub, cache, **trusted)
        assert plain.returncode == 3 and "from https to http" in plain.stderr
        unknown = pull(hub, cache)
        assert unknown.returncode == 7 and "certificate" in unknown.stderr.lower()


def test_models_are_listed_and_removed(hub, cache):
    def baton(*words):
        return subprocess.run([BATON, *words], env=environment(hub, cache), capture_output=True, text=True, timeout=20)

    assert "No models in" in baton("models").stdout
    assert pull(hub, cache).returncode == 0
    listed = json.loads(baton("models", "-o", "json").stdout)
    total = sum(len(FILES[name]) for name in NEEDED)
    assert [(m["name"], m["revision"], m["bytes"], m["complete"]) for m in listed] == [("test/model", "main", total, True)]
    assert "complete" in baton("models").stdout
    (blobs(cache) / sha256(WEIGHTS)).unlink()
    assert "without model.safetensors" in baton("models").stdout

    assert baton("rm", "test/model").returncode == 0

    assert not (cache / "models--test--model").exists()
    assert baton("rm", "test/model").returncode == 4
    assert baton("rm", "../x").returncode == 2
