"""A model folder (Llama's shape, bf16) as GGUF, the same numbers: bf16, or Q8_0 where the type asks for it.

Usage: to_gguf.py FOLDER OUT bf16|q8_0
"""
import json
import sys
from pathlib import Path

import gguf
import numpy as np

NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def tensors(path: Path):
    """Name and f32 values of every tensor; all are stored as bf16."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()
        for name, info in header.items():
            begin, end = info["data_offsets"]
            file.seek(start + begin)
            bits = np.frombuffer(file.read(end - begin), dtype=np.uint16).astype(np.uint32) << 16
            yield name.removesuffix(".weight"), bits.view(np.float32).reshape(info["shape"])


def interleaved(weights: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp rotates neighbours, Hugging Face halves: the rows of each head change places."""
    return weights.reshape(heads, 2, -1, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)


def main() -> None:
    folder, out, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_vocab_size(config["vocab_size"])
    # Prompts are ids: any vocabulary does that has the bytes llama.cpp asks for.
    count = config["vocab_size"]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"<0x{i:02X}>" if i < 256 else f"<{i}>" for i in range(count)])
    writer.add_token_scores([0.0] * count)
    writer.add_token_types([gguf.TokenType.BYTE if i < 256 else gguf.TokenType.NORMAL for i in range(count)])
    big = gguf.GGMLQuantizationType.Q8_0 if kind == "q8_0" else gguf.GGMLQuantizationType.BF16
    for name, values in tensors(folder / "model.safetensors"):
        parts = name.split(".", 3)
        target = OUTER[name] if name in OUTER else f"blk.{parts[2]}.{NAMES[parts[3]]}"
        if target.endswith("attn_q"):
            values = interleaved(values, config["num_attention_heads"])
        if target.endswith("attn_k"):
            values = interleaved(values, config["num_key_value_heads"])
        kept = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else big
        writer.add_tensor(target + ".weight", gguf.quants.quantize(values, kept), raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
