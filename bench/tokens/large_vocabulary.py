#!/usr/bin/env python3
"""Trains a tokenizer of the size and shape that models of today have (Llama 3's: split by regex, then BPE over bytes, 128,000 entries) on
what text this machine has, and writes what `tokenizers` makes of a prompt: for tokenize_bench --expect.

Usage: large_vocabulary.py FOLDER [ENTRIES]    writes tokenizer.json, prompt.txt (100,000 tokens and a little more), prompt.ids
"""

import pathlib
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")  # fmt: skip
PLACES = ("/usr/lib/python3", "/usr/lib/python3.11", "/usr/share/doc", "/usr/share/perl", "/usr/include")
ENDS = {".py", ".txt", ".md", ".rst", ".html", ".h", ".hpp", ".c", ".pl", ".pm", ".pod", ""}
LEARNT, TOKENS = 48 << 20, 100_000


def texts():
    """Whole files, one of each place in turn, so that no kind of text comes first alone."""
    places = [sorted(path for path in pathlib.Path(place).rglob("*") if path.suffix in ENDS and path.is_file()) for place in PLACES]
    for turn in range(max(map(len, places))):
        for place in places:
            if turn < len(place) and place[turn].stat().st_size > 200:
                text = place[turn].read_bytes()[: 1 << 20].decode(errors="ignore")
                if "\0" not in text:
                    yield text


def main():
    folder, entries = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 128_000
    folder.mkdir(parents=True, exist_ok=True)
    learnt, held_out, size = [], [], 0
    for number, text in enumerate(texts()):
        if size > LEARNT:
            break
        if number % 8 == 0:
            held_out.append(text)
        else:
            learnt.append(text)
            size += len(text)
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(learnt, trainers.BpeTrainer(vocab_size=entries, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.save(str(folder / "tokenizer.json"))
    prompt, ids = "", []
    for text in held_out:  # the beginnings of files that it has not seen
        prompt += text[:16_384]
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        if len(ids) >= TOKENS:
            break
    (folder / "prompt.txt").write_text(prompt, newline="")
    (folder / "prompt.ids").write_text(" ".join(map(str, ids)))
    print(f"{tokenizer.get_vocab_size()} entries learnt from {size >> 20} MB; a prompt of {len(ids)} tokens, {len(prompt.encode())} bytes")


main()
