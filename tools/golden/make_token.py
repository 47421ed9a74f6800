#!/usr/bin/env python3
"""Writes tests/golden/token/: four small trained tokenizers, and what `tokenizers` does with several hundred texts.

Usage: python3 tools/golden/make_token.py [--out tests/golden/token] [--storyteller models/storyteller/tokenizer.json]

The storyteller's tokenizer is read from models/; the others are trained here, on its stories and the lists below:
  split-sequence   the shape of Llama 3: Split by regex, then ByteLevel; ignore_merges; a template that adds a first token
  nfc-split        the shape of Qwen 2: NFC, its own regex, no first token
  byte-fallback    the shape of Llama 2: a mark for a space put in front by the normalizer, bytes for unknown characters
  metaspace        the same by a Metaspace step, in front of the whole text only, with a token for unknown characters
"""
import argparse, json, os, platform, random, re, sys, unicodedata
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# These two expressions are part of the formats they come from: tokenizer.json files carry them verbatim.
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
LLAMA3, QWEN2 = HEAD + r"\p{N}{1,3}" + TAIL, HEAD + r"\p{N}" + TAIL

# ---------------------------------------------------------------------------------------------------------- texts
PLAIN = r"""Hello|Hello world|Hello, world!|Write a story about a robot|Continue|Once upon a time, there was a robot named Alex
|I'm sure they've said you'd go, we'll see; it's Sam's, isn't it? Don't.|I'M SURE THEY'VE SAID YOU'D GO, WE'LL SEE; IT'S SAM'S, ISN'T IT?
|x'S y'Re z'vE 'sa 'llama 'dd ''s '|a'ſ b'K|1|12|123|1234|12345|1234567890123|3.14159|1,000,000|0x1F|1e-9|v1.2.3-rc4
|a1b2c3|2026-01-05T10:20:30Z|192.168.127.1:8000|x = y + 1;|if (a[i] != b->c) { return *p++; }|SELECT * FROM t WHERE a = 'b';
|{"a": [1, 2, {"b": null}], "c": "d"}|<html><body class="x">&amp;</body></html>|https://example.org/a/b?c=d&e=%20#f|user@example.org
|#include <vector>|def f(x):\n    return x\n|\tint main(void)\n\t{\n\t}\n|`code` **bold** _it_ ~~no~~|...|!!!|?!?!|-- — – -|" “q” ‘q’ «q» 'q'
|a|A| a|  a|   a|    a|a |a  |a   | | \x20 |  \n|\n|\n\n|\n\n\n|\r|\r\n|\r\n\r\n|\r\r\n\n|\t|\t\t|\t \t|\n a|\n  a|a\n|a \n b|a  \n  b|a\n\n b
|a \n\n\n  b|a\r\nb|a \r\n b|!\n|!\r\n|!\n\n a|! \n|?!\n\t|\u00a0|a\u00a0b|a\u2003b|a\u3000b|\u3000\u3000a|a\u2028b\u2029c|a\u0085b|\u200b|a\u200bb|a\u200db|\ufeffa
|\x00|a\x00b|\x00\x00\x00|\x01\x02\x03|\x7f|\x1b[31mred\x1b[0m|\x0b\x0c|a\x0b\x0cb|\x1c\x1d\x1e\x1f|\ufffd|\uffff|\ufffe|\U0010ffff""".replace("\n|", "|").split("|")
WORLD = r"""Übung macht den Meister, größer als früher|Le garçon a mangé une crème brûlée à l'hôtel|El niño pequeño, ¿dónde está? ¡Aquí!
|Žluťoučký kůň skáče|Zażółć gęślą jaźń|İstanbul ile ığdır|Ærø og Ångström|Straße STRASSE ß ẞ|Привет, мир! Как дела?|Ἑλλάς καὶ φῶς
|Ελλάδα|שלום עולם|שָׁלוֹם|مرحبا بالعالم|السَّلامُ عَلَيْكُم|فارسی می‌نویسم|नमस्ते दुनिया|हिन्दी में क्षत्रिय|বাংলা ভাষা|தமிழ் மொழி|తెలుగు|ಕನ್ನಡ|മലയാളം
|ภาษาไทยง่ายนิดเดียว|ລາວ|မြန်မာ|ខ្មែរ|བོད་ཡིག|ქართული ენა|Հայերեն|አማርኛ|ᏣᎳᎩ|ᐃᓄᒃᑎᑐᑦ|你好，世界！|我喜歡讀書。|日本語の文章です。|カタカナ ひらがな ｶﾀｶﾅ|한국어 문장입니다|각각|ᄀᆞᆨ
|𠀀𠀁𠮷野家|𝓗𝓮𝓵𝓵𝓸 𝟙𝟚𝟛|Ⅷ Ⅻ ⅷ|½ ⅓ ¼ ²³¹ ⁴⁵|①②③ ⑩|٠١٢٣٤٥٦٧٨٩|०१२३४५|一二三四|１２３４|🙂|👍🏽|👩‍👩‍👧‍👦|🏳️‍🌈|🇩🇪🇫🇷|❤️|☎︎☎️|🧑🏿‍🚀 flies|a🙂b|🙂🙂🙂|1️⃣2️⃣|⌚️⏰
|e\u0301|\u00e9|e\u0301\u0327|\u1e69|s\u0323\u0307|s\u0307\u0323|\u0344|\u2126 \u212b \u212a|\u0301|\u0301\u0301\u0301a|a\u0300\u0301\u0302\u0303\u0304b|\u1100\u1161\u11a8|\uac01|\ufb01\ufb02|\u0958|\u2adc
|\ufb1d|\u0f73|\U0001d15e|\U0002f800|ﷺ|Z̸̢͎a̵l̶g̷o̸|\u202eabc\u202c|\u2066x\u2069|\u061c|\u00ad|co\u00adop|x\u20d7|\ufe0f|\U000e0041\U000e007f|\U000f0000\U0010fffd""".replace("\n|", "|").split("|")

def unescape(s):  # \n, \t, \x.., \u.... written in the lists above; everything else stays
    return re.sub(r"\\(n|r|t|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})", lambda m: {"n": "\n", "r": "\r", "t": "\t"}.get(m[1]) or chr(int(m[1][1:], 16)), s)

def code_points(plane):
    """Assigned characters of a plane; for planes without any, all of it. No surrogates."""
    points = [c for c in range(plane << 16, (plane + 1) << 16) if not 0xD800 <= c < 0xE000]
    assigned = [c for c in points if unicodedata.category(chr(c)) not in ("Cn", "Co")]
    return assigned or points

def texts(special, words):
    """All texts of one case set. `special`: contents of its added tokens; `words`: whole words of its vocabulary."""
    r = random.Random(7)
    out = [""] + [unescape(s) for s in PLAIN + WORLD]
    for plane in range(17):
        points = code_points(plane)
        for n in (1, 1, 2, 3, 5, 8, 13) * (4 if plane == 0 else 2 if plane in (1, 2) else 1):
            out.append("".join(chr(r.choice(points)) for _ in range(n)))
    for category in ("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Cc", "Cf"):
        points = [c for c in range(0x20000) if unicodedata.category(chr(c)) == category]
        out += ["".join(chr(r.choice(points)) for _ in range(6)), "a" + chr(r.choice(points)) + "b " + chr(r.choice(points)) + "1" + chr(r.choice(points))]
    marks = [c for c in range(0x300, 0x3000) if unicodedata.combining(chr(c))]
    composed = [c for c in range(0xC0, 0x2000) if unicodedata.decomposition(chr(c)) and "<" not in unicodedata.decomposition(chr(c))]
    for _ in range(20): out.append("".join(r.choice("aeious") + "".join(chr(r.choice(marks)) for _ in range(r.randint(0, 4))) for _ in range(4)))
    for _ in range(10): out.append("".join(r.choice((unicodedata.normalize("NFD", chr(c)), chr(c))) for c in r.choices(composed, k=6)))
    for _ in range(30): out.append(bytes(r.randrange(256) for _ in range(r.randint(4, 40))).decode("utf-8", "ignore"))
    for _ in range(20): out.append("".join(r.choice(" \t\n\r\u00a0") if r.random() < 0.6 else r.choice("ab1.'") for _ in range(14)))
    for c in ("a", " ", "\n", "1", ".", "é", "世", "🙂", "ab", "\r\n", " a", "'s", "\u0301", "the ", "\x00"): out += [c * 40, c * 301]
    for s in special:
        out += [s, s + s, " " + s, s + " ", "a" + s + "b", "a " + s + " b", "\n" + s + "\n", "  " + s + "  \n x", s[:-1], s[1:], s.upper(), "é" + s + "\u0301", s + s[:3]]
    for _ in range(15): out.append("".join(r.choice(special + ["Hello", " ", "\n", "robot", " a", "1234", "é", "<|", "|>"]) for _ in range(8)))
    for _ in range(12): out.append(unescape(" ".join(r.choice(PLAIN + WORLD) for _ in range(6))))
    out += words + [w + w for w in words[::3]]
    seen = set()
    return [t for t in out if not (t in seen or seen.add(t))]

# ------------------------------------------------------------------------------------------------------- tokenizers
def corpus():
    import train_storyteller as story
    r = random.Random(11)
    yield from (story.Tale(r, r.choice(story.SUBJECTS)).first() for _ in range(400))
    for _ in range(4): yield from (unescape(s) for s in PLAIN + WORLD)
    yield from (" ".join(str(r.randrange(10 ** r.randint(1, 6))) for _ in range(20)) for _ in range(30))

def train(model, vocab, special, added, **parts):
    tok = Tokenizer(model)
    for name, part in parts.items(): setattr(tok, name, part)
    trainer = trainers.BpeTrainer(vocab_size=vocab - len(special) - len(added), show_progress=False, special_tokens=[],
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(corpus(), trainer)
    tok.add_special_tokens(special)
    tok.add_tokens(added)
    return tok

def split_sequence():
    special = [AddedToken("<|begin_of_text|>", normalized=False), AddedToken("<|end_of_text|>", normalized=False), AddedToken("<|eot_id|>", normalized=False),
               AddedToken("<|start_header_id|>", normalized=False), AddedToken("<|end_header_id|>", normalized=False),
               AddedToken("<|left|>", lstrip=True, normalized=False), AddedToken("<|right|>", rstrip=True, normalized=False),
               AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False)]
    added = [AddedToken("<tool>", normalized=False), AddedToken("word", single_word=True, normalized=False)]
    tok = train(models.BPE(ignore_merges=True), 800, special, added, decoder=decoders.ByteLevel(),
                pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))
    begin = tok.token_to_id("<|begin_of_text|>")
    tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1", special_tokens=[("<|begin_of_text|>", begin)])])
    # Only with a whole-word entry that no merge reaches does ignore_merges make a difference: cut the merges of some words.
    data = json.loads(tok.to_str())
    vocab = data["model"]["vocab"]
    dropped = [w for w in vocab if len(w) > 4 and w.startswith("Ġ")][:12]
    data["model"]["merges"] = [m for m in data["model"]["merges"] if "".join(m if isinstance(m, list) else m.split(" ")) not in dropped]
    return Tokenizer.from_str(json.dumps(data))

def nfc_split():
    special = [AddedToken(s, normalized=False) for s in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    added = [AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False), AddedToken("<|pad|>", normalized=True),
             AddedToken("<|pad|>x", normalized=False)]
    return train(models.BPE(), 600, special, added, normalizer=normalizers.NFC(), decoder=decoders.ByteLevel(), post_processor=processors.ByteLevel(trim_offsets=False),
                 pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))

def sentencepiece(vocab, unknown, reserved, trained_with, **parts):
    """BPE over characters, as SentencePiece makes it: `reserved` tokens come first in the vocabulary."""
    tok = Tokenizer(models.BPE(unk_token="<unk>"))
    for name, part in trained_with.items(): setattr(tok, name, part)
    tok.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=vocab, show_progress=False, special_tokens=reserved, limit_alphabet=90))
    data = json.loads(tok.to_str())
    data["model"].update(unknown)
    data["added_tokens"] = data["added_tokens"][:3]  # bytes are ordinary tokens
    tok = Tokenizer.from_str(json.dumps(data))
    for name, part in parts.items(): setattr(tok, name, part)
    tok.add_special_tokens([AddedToken(s, normalized=False) for s in reserved[:3]])
    begin = tok.token_to_id("<s>")
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", begin)])
    return tok

def byte_fallback():
    marks = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    reserved = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    return sentencepiece(900, dict(byte_fallback=True, fuse_unk=True), reserved,
                         dict(normalizer=marks, pre_tokenizer=pre_tokenizers.Split("▁", "merged_with_next")), normalizer=marks, pre_tokenizer=None,
                         decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))

def metaspace():
    step = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    return sentencepiece(600, dict(byte_fallback=False, fuse_unk=True), ["<unk>", "<s>", "</s>"], dict(pre_tokenizer=step), pre_tokenizer=step,
                         decoder=decoders.Metaspace(replacement="▁", prepend_scheme="first", split=True))

# ------------------------------------------------------------------------------------------------------------ cases
def write_cases(folder, tok):
    added = sorted(tok.get_added_tokens_decoder().items())
    words = [" " + w[1:] for w in sorted(tok.get_vocab()) if len(w) > 4 and w[0] in "Ġ▁" and w[1:].isalpha() and w[1:].isascii()]
    cases = texts([t.content for _, t in added], words)
    with open(folder + "/cases.jsonl", "w") as f:
        for text in cases:
            ids, full = tok.encode(text, add_special_tokens=False).ids, tok.encode(text).ids
            f.write(json.dumps(dict(text=text, ids=ids, ids_special=full, decoded=tok.decode(full, skip_special_tokens=False),
                                    decoded_skip=tok.decode(full, skip_special_tokens=True))) + "\n")
    r, n = random.Random(13), 0
    with open(folder + "/decode.jsonl", "w") as f:  # ids that no text gives: cut characters, random tokens
        emoji = tok.encode("a👩‍👩‍👧 世界 é", add_special_tokens=False).ids
        lists = [emoji[:i] for i in range(1, len(emoji))] + [emoji[i:] for i in range(1, len(emoji))]
        lists += [[r.randrange(tok.get_vocab_size()) for _ in range(r.randint(1, 12))] for _ in range(60)]
        for ids in lists:
            f.write(json.dumps(dict(ids=ids, decoded=tok.decode(ids, skip_special_tokens=False), decoded_skip=tok.decode(ids, skip_special_tokens=True))) + "\n"); n += 1
    return len(cases), n

def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default="tests/golden/token"); p.add_argument("--storyteller", default="models/storyteller/tokenizer.json")
    a = p.parse_args()
    rows = []
    for name, make in (("storyteller", None), ("split-sequence", split_sequence), ("nfc-split", nfc_split), ("byte-fallback", byte_fallback), ("metaspace", metaspace)):
        folder = f"{a.out}/{name}"
        os.makedirs(folder, exist_ok=True)
        tok = make() if make else Tokenizer.from_file(a.storyteller)
        if make:
            with open(folder + "/tokenizer.json", "w") as f: f.write(json.dumps(json.loads(tok.to_str()), ensure_ascii=False, indent=1) + "\n")
            tok = Tokenizer.from_file(folder + "/tokenizer.json")
        n, m = write_cases(folder, tok)
        rows.append(f"| `{name}` | {tok.get_vocab_size()} | {n} | {m} |")
        print(rows[-1])
    with open(a.out + "/SOURCE.md", "w") as f:
        f.write(f"""# Texts, and their tokens by `tokenizers`

Made by `python3 tools/golden/make_token.py` with tokenizers {tokenizers.__version__} and Python {platform.python_version()} (Unicode {unicodedata.unidata_version} decides
which code points count as assigned when texts are drawn).

| set | vocabulary | texts | id lists |
|---|---|---|---|
""" + "\n".join(rows) + """

* `tokenizer.json`: the small tokenizers trained by the script; the storyteller's is `models/storyteller/tokenizer.json`.
* `cases.jsonl`: `text`; `ids` without and `ids_special` with the tokens that the post-processor adds; `decoded` and
  `decoded_skip`: `ids_special` back to text, special tokens kept and skipped.
* `decode.jsonl`: `ids` that need not come from any text (cut characters give U+FFFD), `decoded`, `decoded_skip`.

`split-sequence` has entries that no merge reaches, so that `ignore_merges` matters; added tokens with lstrip, rstrip,
single_word; `nfc-split` has an added token that is matched after normalization (`normalized: true`).
""")

if __name__ == "__main__": main()
