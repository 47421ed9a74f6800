#!/usr/bin/env python3
"""Writes tests/golden/engine/: random tiny models of each family and what float32 `transformers` computes from them.

Usage: python3 tools/golden/make_engine.py [--out tests/golden/engine] [--storyteller models/storyteller]

Each variant folder holds config.json, model.safetensors (one variant: two shards with an index) and expect.json. Weights
are stored in the variant's dtype and upcast to float32 for the reference. They have a large variance so that every output
depends on the whole prompt, and of TRIES seeds the one is kept whose greedy paths are varied and the least ambiguous.
"""
import argparse, json, os, platform, random, shutil, sys
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT_LENGTHS, STEPS, TRIES = (1, 7, 33, 130), 12, 40
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)

YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
SMALL = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=8, intermediate_size=80, vocab_size=150,
             torch_dtype="bfloat16")

BASE = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", max_position_embeddings=512, rms_norm_eps=1e-5,
            rope_theta=10000.0, rope_scaling=None, attention_bias=False, mlp_bias=False, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1)
VARIANTS = {
    "gqa-tied-bf16": dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                          intermediate_size=128, vocab_size=259, torch_dtype="bfloat16"),
    "mha-untied-f32": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, intermediate_size=64,
                           vocab_size=200, tie_word_embeddings=False, torch_dtype="float32"),
    "ragged-f16": dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, head_dim=32,
                       intermediate_size=100, vocab_size=131, torch_dtype="float16"),
    "llama3-rope-bf16": dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16, intermediate_size=96,
                             vocab_size=160, rope_theta=500000.0, rope_scaling=LLAMA3, torch_dtype="bfloat16"),
    "bias-sharded-bf16": dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=8, intermediate_size=112,
                              vocab_size=180, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-6, torch_dtype="bfloat16"),
    # The spelling that transformers 5 writes: `dtype`, and all rotary settings inside `rope_parameters`.
    "v5-config-bf16": dict(hidden_size=40, num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=1, head_dim=24, intermediate_size=72,
                           vocab_size=97, dtype="bfloat16", rope_theta=None, rope_scaling=None, rope_parameters=dict(rope_theta=500000.0, **LLAMA3)),
    # The other families, each with what it does differently; windows are shorter than the longest prompt.
    "mistral-window-bf16": dict(SMALL, architectures=["MistralForCausalLM"], model_type="mistral", sliding_window=24),
    "qwen2-bf16": dict(SMALL, architectures=["Qwen2ForCausalLM"], model_type="qwen2", use_sliding_window=False, sliding_window=24),
    "qwen2-window-f32": dict(SMALL, architectures=["Qwen2ForCausalLM"], model_type="qwen2", use_sliding_window=True, sliding_window=20,
                             max_window_layers=1, tie_word_embeddings=False, torch_dtype="float32"),
    "qwen3-yarn-bf16": dict(SMALL, architectures=["Qwen3ForCausalLM"], model_type="qwen3", head_dim=16, rope_theta=1000000.0, rope_scaling=YARN),
    "granite-bf16": dict(SMALL, architectures=["GraniteForCausalLM"], model_type="granite", embedding_multiplier=6.0, attention_multiplier=0.25,
                         residual_multiplier=0.4, logits_scaling=3.0),
    "granite-bias-f32": dict(SMALL, architectures=["GraniteForCausalLM"], model_type="granite", embedding_multiplier=3.0, attention_multiplier=0.25,
                             residual_multiplier=0.7, logits_scaling=2.0, attention_bias=True, mlp_bias=True, torch_dtype="float32"),
}

def make_config(name):
    c = {**BASE, **VARIANTS[name]}
    if "rope_parameters" in c: del c["rope_theta"], c["rope_scaling"]
    return c

def make_weights(c, seed):
    g, dtype, w = torch.Generator().manual_seed(seed), DTYPES[c.get("torch_dtype") or c["dtype"]], {}
    h, f, n, kv = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"], c["num_key_value_heads"]
    d = c.get("head_dim") or h // n
    def add(name, shape, std, mean=0.0): w[name] = (torch.randn(shape, generator=g) * std + mean).to(dtype)
    biased = "qkvo" if c["attention_bias"] else "qkv" if c["model_type"] == "qwen2" else ""
    # A tied output would repeat the last token for ever if the embedding outweighed what the layers add to it.
    add("model.embed_tokens.weight", (c["vocab_size"], h), 0.25 if c["tie_word_embeddings"] else 1.0)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        for proj, rows, cols, std in (("self_attn.q_proj", n * d, h, 0.25), ("self_attn.k_proj", kv * d, h, 0.25), ("self_attn.v_proj", kv * d, h, 0.2),
                                      ("self_attn.o_proj", h, n * d, 0.2), ("mlp.gate_proj", f, h, 0.2), ("mlp.up_proj", f, h, 0.2), ("mlp.down_proj", h, f, 0.2)):
            add(p + proj + ".weight", (rows, cols), std)
            if "attn" in proj and proj[10] in biased or c["mlp_bias"] and "mlp" in proj: add(p + proj + ".bias", (rows,), 0.2)
        if c["model_type"] == "qwen3":
            for norm in "qk": add(p + f"self_attn.{norm}_norm.weight", (d,), 0.1, 1.0)
        add(p + "input_layernorm.weight", (h,), 0.1, 1.0)
        add(p + "post_attention_layernorm.weight", (h,), 0.1, 1.0)
    add("model.norm.weight", (h,), 0.1, 1.0)
    if not c["tie_word_embeddings"]: add("lm_head.weight", (c["vocab_size"], h), 1.0)
    return w

def write_model(folder, c, w, shards):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(folder + "/config.json", "w") as f: json.dump(c, f, indent=2); f.write("\n")
    if shards == 1: save_file(w, folder + "/model.safetensors", metadata={"format": "pt"})
    else:
        names, where = list(w), {}
        for i in range(shards):
            part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
            file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
            save_file({k: w[k] for k in part}, f"{folder}/{file}", metadata={"format": "pt"})
            where.update({k: file for k in part})
        index = {"metadata": {"total_size": sum(t.numel() * t.element_size() for t in w.values())}, "weight_map": where}
        with open(folder + "/model.safetensors.index.json", "w") as f: json.dump(index, f, indent=1); f.write("\n")
    for file in os.listdir(folder): os.chmod(f"{folder}/{file}", 0o644)

def random_prompts(c, seed):
    r = np.random.default_rng(seed)
    return [[int(t) for t in r.integers(0, c["vocab_size"], length)] for length in PROMPT_LENGTHS]

def story_prompts(folder):
    """The demo's first question, the same after several turns, and a bare opening."""
    tok = AutoTokenizer.from_pretrained(folder)
    with open(folder + "/demo-system-prompt.txt") as f: chat = [{"role": "system", "content": f.read().strip()}]
    chat.append({"role": "user", "content": "Write a story about a robot"})
    story = {"role": "assistant", "content": "Once upon a time, there was a robot named Alex who lived on a quiet island. His best friend was a fox named Luna."}
    longer = chat + [story, {"role": "user", "content": "Continue"}] * 20
    render = lambda messages: tok.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return [tok.encode(render(chat), add_special_tokens=False), tok.encode(render(longer), add_special_tokens=False), tok.encode("Once upon a time")]

def held_out_stories(count=24):
    """Stories by the generator that made the training set, from a seed that it did not use."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    import train_storyteller as story
    r = random.Random("held out")
    return [story.Tale(r, r.choice(story.SUBJECTS)).first() for _ in range(count)]

def write_expect(path, prompts):
    with open(path, "w") as f: f.write('{"prompts": [\n' + ",\n".join(json.dumps(q) for q in prompts) + "\n]}\n")

@torch.no_grad()
def expect(folder, prompts):
    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    assert all(p.dtype == torch.float32 for p in net.parameters())
    out = []
    for tokens in prompts:
        ids, greedy, margin, last = list(tokens), [], 1e9, None
        for _ in range(STEPS):
            logits = net(torch.tensor([ids]), use_cache=False).logits[0, -1]
            if last is None: last = [float(f"{v:.9g}") for v in logits.tolist()]
            top = logits.topk(2).values
            margin = min(margin, float(top[0] - top[1]))
            greedy.append(int(logits.argmax())); ids.append(greedy[-1])
        out.append(dict(tokens=tokens, last_logits=last, greedy=greedy, min_margin=round(margin, 5)))
    return out

def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default="tests/golden/engine"); p.add_argument("--storyteller", default="models/storyteller")
    a = p.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rows = []
    for i, name in enumerate(VARIANTS):
        c, folder, tried = make_config(name), f"{a.out}/{name}", []
        shards = 2 if "sharded" in name else 1
        for seed in range(100 * i, 100 * i + TRIES):
            write_model(folder, c, make_weights(c, seed), shards)
            prompts = expect(folder, random_prompts(c, seed))
            tried.append((min(min(len(set(q["greedy"])), 8) for q in prompts), min(q["min_margin"] for q in prompts), seed))
        _, margin, seed = max(tried)
        write_model(folder, c, make_weights(c, seed), shards)
        prompts = expect(folder, random_prompts(c, seed))
        write_expect(folder + "/expect.json", prompts)
        size = sum(os.path.getsize(f"{folder}/{x}") for x in os.listdir(folder))
        rows.append(f"| `{name}` | {seed} | {margin:.3f} | {size // 1024} KiB |")
        print(rows[-1], "distinct greedy tokens", [len(set(q["greedy"])) for q in prompts], flush=True)
    write_expect(a.out + "/storyteller-expect.json", expect(a.storyteller, story_prompts(a.storyteller)))
    with open(a.out + "/storyteller-held-out.txt", "w") as f: f.write("\n---\n".join(held_out_stories()))
    with open(a.out + "/SOURCE.md", "w") as f:
        f.write(f"""# Random tiny models of each family, computed by float32 transformers

Made by `python3 tools/golden/make_engine.py` with transformers {transformers.__version__}, torch {torch.__version__} and Python {platform.python_version()},
one thread, eager attention, no KV cache. Weights are drawn from the seed, stored in the dtype of config.json, and upcast to
float32 for the reference; all arithmetic of the reference is float32.

| variant | seed | smallest margin | size |
|---|---|---|---|
""" + "\n".join(rows) + f"""

`storyteller-expect.json` is the same for `models/storyteller`: the demo's first question, a chat of over a thousand tokens, and a bare
opening with the token that the post-processor adds. Make it again whenever that model is trained again.
`storyteller-held-out.txt`: stories of the generator that it was trained with, from a seed that training did not use.

`expect.json`: `prompts[]`, one for each length of {", ".join(map(str, PROMPT_LENGTHS))}:

* `tokens`: the prompt, no special token added;
* `last_logits`: all logits of its last position (float32, 9 digits);
* `greedy`: the next {STEPS} tokens by argmax; no token ends the run, `eos_token_id` included;
* `min_margin`: the smallest difference between the best and the second logit on that path. Greedy must agree whenever the
  error of the logits is below half of it.
""")

if __name__ == "__main__": main()
