"""Models that are damaged, or made to do harm: one clear line that names the place, soon and in little memory."""
import json
import os
import resource
import shutil
import struct
import subprocess

import pytest

from stack import BATON, MODELS, SANITIZED

GOOD = MODELS / "storyteller"
MEMORY = 4 << 30  # of address space


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(GOOD, folder)
    return folder


def engine(folder, *flags):
    """What `baton engine` says of a model that it must not serve."""
    limit = None if SANITIZED else lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    done = subprocess.run([BATON, "engine", str(folder), "--port", "0", *flags], capture_output=True, text=True,
                          timeout=60 if SANITIZED else 10, preexec_fn=limit)
    lines = [line for line in done.stderr.splitlines() if line.startswith("baton engine: ")]
    assert done.returncode in (2, 4, 6, 9) and len(lines) == 1, (done.returncode, done.stderr)
    return lines[0]


def edit(file, **members):
    file.write_text(json.dumps({**json.loads(file.read_text()), **members}))


def tensors(folder):
    """The header of the weights, and where their data begins."""
    data = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + size]), 8 + size


@pytest.mark.parametrize("value", [b"\xc0\x7f", b"\x80\x7f", b"\x80\xff"], ids=["nan", "inf", "minus-inf"])
@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.layers.2.mlp.up_proj.weight", "model.norm.weight"])
def test_a_weight_that_is_no_number_is_named_with_its_tensor(model, name, value):
    header, start = tensors(model)
    end = header[name]["data_offsets"][1]
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(start + end - 2)
        file.write(value)

    said = engine(model)

    count = (end - header[name]["data_offsets"][0]) // 2
    assert name in said and f"element {count - 1}" in said and "no number" in said


@pytest.mark.parametrize("members, words", [
    ({"hidden_size": 10**12}, "hidden_size"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
    ({"num_hidden_layers": -1}, "num_hidden_layers"),
    ({"vocab_size": 2**63}, "vocab_size"),
    ({"vocab_size": 16_000_000}, "model.embed_tokens.weight"),
    ({"num_attention_heads": 0}, "num_attention_heads"),
    ({"num_key_value_heads": 3}, "3 key-value heads"),
    ({"head_dim": 1.5}, "head_dim"),
    pytest.param({"max_position_embeddings": 16_000_000}, "--max-model-len",
                 marks=pytest.mark.skipif(SANITIZED, reason="fits into a machine's memory, were there no limit")),
    ({"max_position_embeddings": 10**18}, "max_position_embeddings"),
    ({"rms_norm_eps": "x"}, "rms_norm_eps"),
    ({"rope_theta": -1}, "rope_theta"),
    ({"architectures": ["Unheard"]}, "Unheard"),
    ({"pad": "x" * (2 << 20)}, "config.json"),
])
def test_a_configuration_that_cannot_be_is_refused_by_its_field(model, members, words):
    edit(model / "config.json", **members)

    assert words in engine(model)


def test_deep_and_broken_json_is_refused_by_its_file(model):
    (model / "config.json").write_text('{"a":' * 100_000)
    assert "config.json" in engine(model)


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "a/../../outside.safetensors", "", ".", "a\0b", "missing.safetensors", 5])
def test_an_index_leads_to_files_of_its_folder_only(model, shard):
    (model.parent / "outside.safetensors").write_bytes((GOOD / "model.safetensors").read_bytes())
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": shard}}))

    said = engine(model)

    assert "missing.safetensors" in said if shard == "missing.safetensors" else "model.safetensors.index.json" in said


def damaged(header, data_bytes=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data_bytes


@pytest.mark.parametrize("content", [
    b"",
    b"\x01",
    struct.pack("<Q", 2**63) + b"{}",
    struct.pack("<Q", 10**9) + b"{}",
    damaged(b"{" * 100_000),
    damaged(b"\xff\xfe"),
    damaged({"a": {"dtype": "BF16", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, bytes(4)),
    damaged({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [4, 0]}}, bytes(4)),
    damaged({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 2**60]}}, bytes(4)),
    damaged({"a": {"dtype": "BF16", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
    damaged({"a": {"dtype": "X", "shape": [4], "data_offsets": [0, 4]}}, bytes(4)),
    damaged({"a": {"dtype": "BF16", "shape": [1] * 100_000, "data_offsets": [0, 2]}}, bytes(2)),
], ids=range(12))
def test_weights_that_are_no_safetensors_are_named(model, content):
    (model / "model.safetensors").write_bytes(content)

    assert "model.safetensors" in engine(model)


def test_weights_cut_off_are_named(model):
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    assert "model.safetensors" in engine(model)


@pytest.mark.parametrize("name, content", [
    ("tokenizer.json", "{}"),
    ("tokenizer.json", '{"model":{"type":"BPE","vocab":{"a":4294967295},"merges":[]}}'),
    ("tokenizer.json", "[" * 200_000),
    ("tokenizer.json", '{"model":{"type":"WordPiece","vocab":{}}}'),
    ("generation_config.json", '{"temperature":-1}'),
    ("generation_config.json", "nan"),
    ("tokenizer_config.json", '{"chat_template":"{% for x in y %}"}'),
    ("tokenizer_config.json", '{"chat_template":"' + "{% if a %}" * 10_000 + '"}'),
])
def test_files_beside_the_weights_are_named(model, name, content):
    (model / name).write_text(content)

    said = engine(model)
    assert name in said or "chat template" in said


def test_a_model_that_needs_more_memory_than_there_is_is_refused_before_it_is_loaded(model):
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 43)

    assert os.stat(model / "model.safetensors").st_blocks < 1 << 20
    assert "GB" in engine(model)
