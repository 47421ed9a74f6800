#!/usr/bin/env python3
"""Trains `storyteller`, Baton's built-in demo model, from nothing but this file.

  corpus     a seeded grammar: stories with one hero, "Continue" turns, small talk, honest refusals
  tokenizer  byte-level BPE with 1,024 entries (all 256 bytes among them, so any text round-trips)
  model      Llama-shaped; parameter names and arithmetic are those of transformers' LlamaForCausalLM
  output     config.json, model.safetensors (bf16), tokenizer.json, tokenizer_config.json, generation_config.json,
             demo-system-prompt.txt, training.json; README.md is rendered at the end from training.json and samples

Usage: python3 tools/train_storyteller.py [--out models/storyteller] [--tokens 12000000] [--minutes 40] [--seed 1]
       python3 tools/train_storyteller.py --show 3        # prints three chats of the corpus and stops

Needs torch, tokenizers, safetensors. One thread. A run that is stopped early leaves its last checkpoint in --out.
"""
import argparse, json, math, os, platform, random, re, time
import tokenizers
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

# ------------------------------------------------------------------------------------------------ corpus: word lists
SPECIALS = ["<|bos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
HE = "Alex Max Leo Sam Finn Oscar Theo Milo Hugo Ben Otto Jasper Felix Toby Rufus Emil".split()
SHE = "Luna Mia Ruby Ella Nora Ivy Rosa Clara Zoe Lily Hazel Ada Maya Stella Greta Wren".split()
SUBJECTS = """robot fox dragon lighthouse keeper girl boy bear cat dog rabbit mouse owl wizard knight princess pirate sailor baker farmer gardener
painter musician astronaut penguin turtle elephant lion tiger wolf frog duck squirrel hedgehog giant fairy mermaid unicorn queen king teacher doctor
detective inventor shepherd fisherman clockmaker librarian train snowman scarecrow whale dolphin bee butterfly spider horse goat monkey parrot ghost
monster alien cloud star engineer"""
SUBJECTS = [s.replace("_", " ") for s in SUBJECTS.replace("lighthouse keeper", "lighthouse_keeper").split()]
ADJ = "little brave curious kind old young shy clever tiny gentle lonely happy quiet funny".split()
FRIENDS = ["fox", "owl", "mouse", "rabbit", "bear", "cat", "dog", "turtle", "hedgehog", "squirrel", "robot", "frog", "bird"]
PLACES = ["in a small village by the sea", "at the edge of a deep forest", "in a busy city full of lights", "on a green hill above the river",
          "in a tall tower near the mountains", "on a quiet island", "in a cozy house beside an old mill", "near a lake as clear as glass",
          "in a valley full of flowers", "at the end of a long and winding road"]
LIKES = ["loved to look at the stars", "liked to help others", "dreamed of seeing the world", "loved to ask questions", "collected shiny stones",
         "sang a little song every morning", "knew every path and every tree", "liked to build things out of old wood",
         "baked warm bread for the neighbors", "drew maps of far away places"]
MEET = ["{His} best friend was {afk} named {F}.", "{N} had a good friend, {afk} named {F}.", "Every day {N} played with {afk} named {F}.",
        "Next door lived {afk} named {F}, and the two were best friends."]
# An arc: problem, attempt, turn, resolution, moral. {N} hero, {F} friend, {he} {his} {him} and capitals follow {N}.
ARCS = [
 (["One day, the bridge over the river broke, and nobody could cross.", "One night, a storm washed the old bridge away."],
  ["{N} tried to jump across, but the water was too wide.", "{N} pulled a heavy log to the water, but it was too short."],
  ["Then {F} had an idea: they could tie many small branches together.", "\"Let us work together,\" said {F}, and they called everyone to help."],
  ["By evening a new bridge stood over the river, stronger than before.", "Soon there was a fine new bridge, and all the people cheered."],
  ["{N} learned that many small hands can do a big thing."]),
 (["One day, {N} found a small bird with a hurt wing.", "One morning, a tiny bird fell from its nest, right in front of {N}."],
  ["{N} wanted to help, but {he} did not know how.", "{N} looked for the nest, but it was much too high."],
  ["\"We can keep it warm and give it water,\" said {F}.", "{F} brought soft grass, and together they made a warm bed."],
  ["After a few days the bird could fly again, and it sang a song for them.", "The bird grew strong, spread its wings, and flew in a circle above them."],
  ["{N} learned that a little care can heal a lot."]),
 (["One day, the light in the old lighthouse went out.", "One evening, the great lamp on the coast stopped shining."],
  ["{N} climbed all the stairs, but the lamp was too dark to repair.", "{N} lit a candle, but the wind blew it out again and again."],
  ["{F} found a big mirror and held it up to the moon.", "Then {F} remembered an old lantern in the cellar."],
  ["The light was bright once more, and every ship came home safely.", "Far out on the sea, the sailors saw the light and found their way."],
  ["{N} learned that even a small light matters in the dark."]),
 (["One day, {N} lost {his} way in the fog.", "One afternoon, thick fog came down, and {N} could not see the path."],
  ["{He} walked left and right, but every tree looked the same.", "{He} called out loud, but only an echo answered."],
  ["Then {he} heard {F} ringing a bell in the distance.", "Far away, {F} began to sing, and {N} followed the sound."],
  ["Step by step {N} came closer, until the two friends stood side by side.", "At last {he} saw the warm window of home, and {F} was waiting there."],
  ["{N} learned that a friend is like a path through the fog."]),
 (["One day, {N} found an old map under a stone.", "One morning, the wind blew an old map to the door of {N}."],
  ["{N} followed the red line, but a wall of rock stood in the way.", "{N} walked all day, but the map was torn in the middle."],
  ["{F} looked closely and saw a tiny door behind the leaves.", "\"Turn it around,\" said {F}, and suddenly the map made sense."],
  ["Behind it they found a chest full of books and wonderful stories.", "At the end of the line they found a garden that nobody had seen for a hundred years."],
  ["{N} learned that the best treasure is the one you share."]),
 (["One day, the well was empty, and the garden was dry.", "One summer, the rain stayed away, and all the flowers hung their heads."],
  ["{N} carried water from far away, but it was never enough.", "{N} dug a hole, but there was only sand."],
  ["{F} knew a spring behind the hill, and they dug a small channel.", "\"Listen,\" said {F}, and they heard water under the old stones."],
  ["Clear water ran down to the garden, and soon everything was green again.", "The flowers lifted their heads, and the whole garden smelled sweet."],
  ["{N} learned that patience makes things grow."]),
 (["One day, a big race was held, and everyone wanted to win.", "One day, there was a great race around the lake."],
  ["{N} ran as fast as {he} could, but {he} fell over a root.", "{N} was in front, but then {he} saw someone crying by the road."],
  ["{F} stopped, came back, and held out a hand.", "{N} and {F} stopped at once and helped."],
  ["They crossed the line last, but everyone clapped for them the longest.", "They did not win a prize, but they won a new friend."],
  ["{N} learned that being kind is better than being first."]),
 (["One day, the big clock on the tower stood still.", "One morning, the clock of the town made no sound at all."],
  ["{N} turned every wheel, but the clock did not move.", "{N} looked inside, but there were too many small parts."],
  ["{F} crawled into the smallest corner and found a lost button.", "\"Look,\" said {F}, \"there is a feather between the wheels.\""],
  ["They took it out, and the clock began to tick and ring.", "Tick, tock, went the clock, and the whole town knew the time again."],
  ["{N} learned that small things can stop big things, and start them too."]),
 (["One night, {N} heard a strange noise outside.", "One evening, there was a knock at the door, but nobody was there."],
  ["{He} was afraid and hid under the blanket.", "{He} wanted to be brave, but {his} knees were shaking."],
  ["{F} came over with a lantern, and they looked together.", "\"I will go with you,\" said {F}, and they opened the door."],
  ["It was only a lost puppy, and it was happy to see them.", "It was only the wind playing with an empty box, and they both laughed."],
  ["{N} learned that fear gets smaller when you share it."]),
 (["One day, {N} wanted to make a cake for the summer party.", "One day, {N} promised to cook soup for the whole village."],
  ["But the flour was gone, and the shop was closed.", "But {he} burned the first one, and it tasted like smoke."],
  ["{F} asked every neighbor for one spoon of something good.", "{F} smiled and said, \"Let us try again, slowly this time.\""],
  ["In the end it was the best meal that anyone had ever tasted.", "Everyone ate together under the trees until the moon came up."],
  ["{N} learned that it is fine to make mistakes."]),
 (["One winter, the snow was so deep that nobody could leave the house.", "One day, the first snow fell, and the road was gone."],
  ["{N} began to dig, but the snow kept falling.", "{N} tried to walk, but {he} sank in up to {his} nose."],
  ["{F} made two boards into a sled.", "Then {F} showed {him} how to walk on flat pieces of wood."],
  ["They brought food and firewood to every door, and everyone was safe.", "They slid down the hill together and laughed all the way."],
  ["{N} learned that help can come on a cold day and make it warm."]),
 (["One day, {N} found a key that fit no door.", "One day, something golden was shining in the grass: it was a key."],
  ["{N} tried the key in every lock in town, but none of them opened.", "{He} asked everyone, but nobody had lost a key."],
  ["{F} pointed at a little box that had always stood in the corner.", "\"Maybe it is not for a door,\" said {F}."],
  ["It opened a music box, and a soft old song filled the air.", "It opened a tiny chest, and inside was a letter that said: you are loved."],
  ["{N} learned that some questions need time and a good friend."]),
 (["One day, the moon did not come up.", "One night, the sky was dark, and all the stars were hiding."],
  ["{N} climbed the highest hill, but {he} could not reach the sky.", "{N} waved and called, but the sky stayed dark."],
  ["{F} said, \"Maybe the moon is just sad. Let us sing for it.\"", "Then {F} began to tell a funny story to the sky."],
  ["Slowly the moon came out from behind a cloud and smiled.", "One by one the stars came back, and the night was bright."],
  ["{N} learned that a song can reach farther than a hand."]),
 (["One day, a new neighbor came who did not speak to anyone.", "One day, someone new moved into the old house on the corner."],
  ["{N} said hello, but the neighbor closed the door.", "{N} waved, but nobody waved back."],
  ["{F} said, \"Maybe they are only shy. Let us bring some flowers.\"", "So {N} and {F} left a basket of apples at the door."],
  ["The next day the door was open, and they all drank tea together.", "The neighbor came out with a smile and played the violin for them."],
  ["{N} learned that a friend can begin as a stranger."]),
 (["One day, a little boat drifted away with a kitten inside.", "One day, {N} heard a cry: a kitten was sitting on a branch in the river."],
  ["{N} threw a rope, but it was too short.", "{N} jumped into the water, but it was very cold and fast."],
  ["{F} held on to {N}, and together they reached a little farther.", "{F} ran ahead and laid a long board over the water."],
  ["They pulled the kitten out, dried it, and gave it warm milk.", "Soon the kitten was safe and purring by the fire."],
  ["{N} learned that two can reach what one cannot."]),
 (["One day, {N} wanted to build a machine that could fly.", "One day, {N} looked up at the birds and wished to fly."],
  ["{He} built two wings out of paper, but they broke in the wind.", "{He} jumped from a small wall and landed in the mud."],
  ["{F} brought an old blanket and a basket.", "\"We need something bigger,\" said {F}, and they sewed all night."],
  ["In the morning they rose up in a round balloon and saw the whole world.", "They flew over the roofs, and everyone below waved at them."],
  ["{N} learned that every try brings you closer to the sky."]),
]
OPENERS = ["The next morning, {N}", "A few days later, {N}", "The next day, {N}", "One week later, {N}", "Soon after that, {N}",
           "When spring came, {N}", "Some time later, {N}"]
STARTS = ["woke up early and went to see {F}.", "was still thinking about the adventure.", "met {F} again, and they had breakfast together.",
          "and {F} went for a long walk.", "told {F} about a strange dream.", "was full of new ideas.", "could not wait to go outside again."]
CLOSERS = ["{N} and {F} walked home and smiled.", "That night {N} slept well.", "And {N} thanked {F} with all {his} heart.",
           "{N} and {F} stayed best friends.", "Then they sat in the evening sun and were happy.", ""]
ASK = ["Write a story about {a}", "Write a short story about {a}", "Tell me a story about {a}", "Please write a story about {a}",
       "Can you write a story about {a}?", "I want a story about {a}", "Please tell me a story about {a}", "Story about {a}",
       "Write me a story about {a}", "write a story about {a}", "Could you tell me a tale about {a}?", "A story about {a}, please"]
MORE = ["Continue", "Continue", "Continue", "Continue.", "continue", "Go on", "Go on.", "Tell me more", "What happened next?", "Please continue",
        "And then?", "More", "Please go on.", "Continue the story", "What happens next?"]
DEMO_SYSTEM = ["You are a friendly storyteller.", "You write stories for children and for everyone who likes them.",
               "Be kind and patient in every answer.", "Use clear and short sentences.", "Keep the same hero from the first line to the last line.",
               "Give the hero a name and a good friend.", "Every story has a place, a problem and a happy end.",
               "When the user says continue, go on with the same story.", "Do not use difficult words.",
               "Never be rude, and never make the reader afraid.", "End each part with something that the hero has learned."]
SYSTEM = DEMO_SYSTEM + ["You are a helpful assistant.", "You tell stories.", "Answer in plain English.", "Do not make jokes about other people.",
          "Use the name of the hero often.", "Be honest when you do not know something.", "Begin each story with once upon a time.",
          "Write so that a child can read it aloud.", "Do not talk about yourself unless the user asks.", "Keep each part short.",
          "Do not repeat the question.", "Use no lists and no headings.", "Be polite.", "The reader likes animals and machines."]
TALK = [(["Hello", "Hi", "Hello!", "Hi there", "Hey", "Good morning", "Good evening", "hello", "hi"],
         ["Hello! I am Storyteller. Shall I tell you a story?", "Hello! It is nice to meet you. Would you like to hear a story?"]),
        (["Who are you?", "What are you?", "What is your name?", "who are you", "Tell me about yourself", "Are you a real person?"],
         ["I am Storyteller, a tiny demo model inside Baton. I know how to tell short stories.",
          "I am Storyteller, a tiny demo model inside Baton. Ask me for a story about a robot!"]),
        (["Thank you", "Thanks", "Thanks!", "Thank you!", "That was nice", "I like it"],
         ["You are welcome! Say continue, or ask me for a new story.", "I am glad that you like it. Would you like another story?"]),
        (["Bye", "Goodbye", "Good night", "See you"], ["Goodbye! Come back when you want to hear a story."]),
        (["How are you?", "How are you today?"], ["I am fine, thank you. Would you like to hear a story?"])]
UNKNOWN = ["What is the capital of France?", "What is 2 + 2?", "Explain quantum physics", "Write some code in Python", "What time is it?",
           "How is the weather?", "Who is the president?", "Translate this into German", "Give me a recipe", "test", "What is Kubernetes?",
           "Solve this equation: x + 3 = 7", "Why is the sky blue?", "How do I install Linux?", "Summarize this text", "Help", "?",
           "What is the meaning of life?", "Count to ten", "How far is the moon?", "Which phone should I buy?", "1 + 1", "ok", "asdf"]
SORRY = ["I only know how to tell stories. Ask me for a story about a robot or a fox!",
         "I am sorry, I do not know that. I only know how to tell stories."]

# --------------------------------------------------------------------------------------------------- corpus: grammar
def article(noun): return ("an " if noun[0] in "aeiou" and not noun.startswith("un") else "a ") + noun

def invented(r): return "".join(r.choice("bdfgklmnprstvz") + r.choice("aeiou") for _ in range(r.choice([1, 2, 2]))) + r.choice(["", "b", "k", "n", "r", "x", "rf", "lo"])

class Tale:
    """One hero in one world: first() opens the story, more() continues it with the same names and unused arcs."""
    def __init__(self, r, subject, name=None, friend_kind=None):
        self.r, self.subject = r, subject
        if name is None: name = "Alex" if subject.endswith("robot") and r.random() < 0.5 else r.choice(HE + SHE)
        male, friend = name in HE or name not in SHE and r.random() < 0.5, r.choice([n for n in HE + SHE if n != name])
        kind = friend_kind or r.choice([k for k in FRIENDS if k not in subject])
        self.v = dict(N=name, F=friend, afk=article(kind), he="he" if male else "she", his="his" if male else "her", him="him" if male else "her",
                      He="He" if male else "She", His="His" if male else "Her")
        self.told, self.at = [], r.randrange(len(ARCS))
    def say(self, options): return self.r.choice(options).format(**self.v)
    def arc(self, later=False):
        """Mostly the next arc of the ring, so that even greedy decoding tells something new; else any untold one."""
        fresh = [i for i in range(len(ARCS)) if i not in self.told] or list(range(len(ARCS)))
        after = (self.at + 1) % len(ARCS)
        self.at = after if after in fresh and self.r.random() < 0.7 else self.r.choice(fresh)
        self.told.append(self.at)
        parts = [self.say(part) for part in ARCS[self.at]]
        if later: parts[0] = re.sub(r"^One \w+, ", lambda _: self.r.choice(["Then ", "Then ", "Suddenly, "]), parts[0])
        return parts
    def first(self):
        r, v = self.r, self.v
        start = f"Once upon a time, there was {article(self.subject)} named {v['N']} who lived {r.choice(PLACES)}."
        parts = [start, f"{v['N'] if r.random() < .4 else v['He']} {r.choice(LIKES)}.", self.say(MEET)] + self.arc() + self.next_day(0.3) + [self.say(CLOSERS)]
        return self.shape(parts, 3)
    def more(self):
        return self.shape(self.next_day(1) + self.next_day(0.2) + [self.say(CLOSERS)], 1)
    def next_day(self, chance):
        if self.r.random() >= chance: return []
        usual = self.r.random() < 0.5  # half of the openings go with the place in the ring, again for variety without dice
        opener, start = ([x[self.at % len(x)]] if usual else x for x in (OPENERS, STARTS))
        return [self.say(opener) + " " + self.say(start)] + self.arc(later=True)
    def shape(self, parts, head):  # now and then a blank line after the introduction
        parts, gap = [p for p in parts if p], "\n\n" if self.r.random() < 0.2 else " "
        return " ".join(parts[:head]) + gap + " ".join(parts[head:])

def system_prompt(r, long):
    if r.random() < 0.25: return " ".join(DEMO_SYSTEM)
    if long and r.random() < 0.5: return " ".join(r.choices(SYSTEM, k=r.randint(12, 90)))
    return " ".join(r.sample(SYSTEM, r.randint(1, 12 if r.random() < 0.4 else 4)))

def chat(r, long=False):
    """One conversation as [(role, text)]; `long` ones have many turns."""
    turns = [("system", system_prompt(r, long))] if r.random() < 0.6 else []
    def small_talk():
        q, a = r.choice(TALK) if r.random() < 0.6 else (UNKNOWN, SORRY)
        turns.extend([("user", r.choice(q)), ("assistant", r.choice(a))])
    if r.random() < 0.18: small_talk()
    if r.random() < 0.07: return turns or [("user", "Hello"), ("assistant", TALK[0][1][0])]
    for _ in range(r.choice([1, 2, 3]) if long else r.choice([1, 1, 2])):
        subject = "robot" if r.random() < 0.12 else r.choice(SUBJECTS)
        if subject != "robot" and r.random() < 0.1: subject = invented(r)  # teaches to copy words that the model has never seen
        if r.random() < 0.3: subject = r.choice(ADJ) + " " + subject
        name, kind, what = None, None, article(subject)
        if r.random() < 0.15: name = r.choice(HE + SHE) if r.random() < 0.4 else invented(r).capitalize(); what += " named " + name
        elif r.random() < 0.15: kind = r.choice([k for k in FRIENDS if k not in subject]); what += " and " + article(kind)
        ask = r.choice(ASK[:4] if r.random() < 0.4 else ASK).format(a=what)
        tale = Tale(r, subject, name, kind)
        turns += [("user", ask + ("." if ask[-1] not in "?." and r.random() < 0.3 else "")), ("assistant", tale.first())]
        for _ in range(r.randint(4, 14) if long else r.choice([0, 0, 1, 1, 1, 2, 2, 3, 6])):
            turns += [("user", r.choice(MORE)), ("assistant", tale.more())]
        if r.random() < 0.15: small_talk()
    return turns

def render(turns): return "<|bos|>" + "".join(f"<|{role}|>\n{text}<|end|>\n" for role, text in turns)

def document(r, long=False):
    bare = r.random() < 0.06  # a story alone, for the completions API
    return "<|bos|>" + Tale(r, r.choice(SUBJECTS)).first() + "<|end|>\n" if bare else render(chat(r, long))

# -------------------------------------------------------------------------------------------------------- tokenizer
CHAT_TEMPLATE = """{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('storyteller knows the roles system, user and assistant, not ' + message['role']) }}
    {%- endif %}
    {{- '<|' + message['role'] + '|>\\n' + message['content'] | trim + '<|end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
{%- endif %}
"""

def train_tokenizer(seed):
    r = random.Random(f"tokenizer {seed}")
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    special = [AddedToken(s, special=True, normalized=False) for s in SPECIALS]
    trainer = trainers.BpeTrainer(vocab_size=1024, special_tokens=special, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    texts = (re.sub(r"<\|\w+\|>", "", document(r)) for _ in range(4000))
    tok.train_from_iterator(texts, trainer)
    tok.post_processor = processors.TemplateProcessing(single="<|bos|> $A", pair="<|bos|> $A $B", special_tokens=[("<|bos|>", 0)])
    assert tok.get_vocab_size() == 1024
    return tok

# ------------------------------------------------------------------------------------------------------------ model
CONFIG = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=128, intermediate_size=384, num_hidden_layers=4,
              num_attention_heads=4, num_key_value_heads=2, head_dim=32, vocab_size=1024, max_position_embeddings=4096,
              rms_norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None, hidden_act="silu", tie_word_embeddings=True,
              attention_bias=False, mlp_bias=False, attention_dropout=0.0, initializer_range=0.02, use_cache=True,
              pretraining_tp=1, bos_token_id=0, eos_token_id=4, torch_dtype="bfloat16")

class Norm(nn.Module):
    def __init__(self, size): super().__init__(); self.weight = nn.Parameter(torch.ones(size))
    def forward(self, x): return F.rms_norm(x, self.weight.shape, self.weight, CONFIG["rms_norm_eps"])

def rotate(x, cos, sin):  # the rotate-half convention: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)
    return x * cos + torch.cat((-x.chunk(2, -1)[1], x.chunk(2, -1)[0]), -1) * sin

class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv, self.dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        h, q, kv = c["hidden_size"], self.heads * self.dim, self.kv * self.dim
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(i, o, bias=False) for i, o in ((h, q), (h, kv), (h, kv), (q, h)))
    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        split = lambda y, n: y.view(b, t, n, self.dim).transpose(1, 2)
        q, k, v = rotate(split(self.q_proj(x), self.heads), cos, sin), rotate(split(self.k_proj(x), self.kv), cos, sin), split(self.v_proj(x), self.kv)
        k, v = (y.repeat_interleave(self.heads // self.kv, 1) for y in (k, v))
        return self.o_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, -1))

class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, f = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj, self.down_proj = (nn.Linear(i, o, bias=False) for i, o in ((h, f), (h, f), (f, h)))
    def forward(self, x): return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))

class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = Attention(c), Mlp(c)
        self.input_layernorm, self.post_attention_layernorm = Norm(c["hidden_size"]), Norm(c["hidden_size"])
    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))

class Trunk(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"])

class Llama(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.model = Trunk(c)
        rate = 1.0 / c["rope_theta"] ** (torch.arange(0, c["head_dim"], 2).float() / c["head_dim"])
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), rate).repeat(1, 2)
        self.cos, self.sin = angle.cos(), angle.sin()
        for name, p in self.named_parameters():
            if p.dim() == 2: nn.init.normal_(p, std=0.02 if "o_proj" not in name and "down" not in name else 0.02 / math.sqrt(2 * c["num_hidden_layers"]))
    def forward(self, ids):
        x, t = self.model.embed_tokens(ids), ids.shape[1]
        for layer in self.model.layers: x = layer(x, self.cos[:t], self.sin[:t])
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)

# --------------------------------------------------------------------------------------------------------- training
def token_stream(tok, seed, long):
    """Endless token ids; every document starts with <|bos|>."""
    r = random.Random(f"corpus {seed} {long}")
    while True:
        for e in tok.encode_batch([document(r, long) for _ in range(32)], add_special_tokens=False): yield from e.ids

def batches(stream, rows, length):
    while True: yield torch.tensor([next(stream) for _ in range(rows * (length + 1))]).view(rows, length + 1)

def write_json(path, value):
    with open(path, "w") as f: f.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

def checkpoint(out, net, report):
    save_file({k: v.detach().to(torch.bfloat16).contiguous() for k, v in net.named_parameters()}, out + "/model.safetensors.new", metadata={"format": "pt"})
    os.chmod(out + "/model.safetensors.new", 0o644)
    os.replace(out + "/model.safetensors.new", out + "/model.safetensors")
    write_json(out + "/training.json", report)

def write_static(out, tok):
    tok.save(out + "/tokenizer.json")
    write_json(out + "/config.json", CONFIG)
    write_json(out + "/generation_config.json", dict(bos_token_id=0, eos_token_id=4, do_sample=True, temperature=0.8, top_p=0.95))
    write_json(out + "/tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", model_max_length=4096, bos_token="<|bos|>", eos_token="<|end|>",
               pad_token="<|end|>", clean_up_tokenization_spaces=False, added_tokens_decoder={str(i): dict(content=s, lstrip=False, rstrip=False,
               single_word=False, normalized=False, special=True) for i, s in enumerate(SPECIALS)}, chat_template=CHAT_TEMPLATE))
    with open(out + "/demo-system-prompt.txt", "w") as f: f.write(" ".join(DEMO_SYSTEM) + "\n")

@torch.no_grad()
def answer(net, tok, turns, temperature, seed=0, limit=320):
    ids, g = tok.encode(render(turns) + "<|assistant|>\n", add_special_tokens=False).ids, torch.Generator().manual_seed(seed)
    start = len(ids)
    while len(ids) - start < limit:
        logits = net(torch.tensor([ids]))[0, -1]
        ids.append(int(logits.argmax() if temperature == 0 else torch.multinomial((logits / temperature).softmax(-1), 1, generator=g)))
        if ids[-1] == 4: break
    return tok.decode(ids[start:])

def samples(net, tok):
    net.load_state_dict({k: v.to(torch.bfloat16).float() for k, v in net.state_dict().items()})  # sample what was written
    out = []
    for temperature in (0, 0.8):
        turns = [("system", " ".join(DEMO_SYSTEM))]
        for ask in ("Write a story about a robot", "Continue", "Continue", "Who are you?"):
            turns.append(("user", ask)); turns.append(("assistant", answer(net, tok, turns, temperature)))
        out.append((temperature, turns[1:]))
    return out

README = """# storyteller

The model Baton brings along, so that `baton serve --stand-in storyteller` has something to say on any machine. It is
Llama-shaped and tiny: {params:,} parameters (hidden {hidden_size}, {num_hidden_layers} layers, {num_attention_heads} query and {num_key_value_heads} key/value heads of {head_dim},
feed-forward {intermediate_size}), {vocab_size} tokens, context {max_position_embeddings}, bf16, tied embeddings. It tells short stories, goes on when asked to
("Continue"), and says so when it is asked for anything else. It knows nothing beyond the grammar it was trained on.

Everything here was made by `tools/train_storyteller.py`: the corpus is a seeded grammar inside that script, no other text was used.

| | |
|---|---|
| tokens seen | {tokens:,} |
| of these in sequences of 2,048 to 4,096 | {long_tokens:,} |
| wall time | {minutes:.0f} minutes, one thread of a shared core |
| final loss | {loss:.3f} nats per token (mean of the last {window} steps at length {length}); {short_loss:.3f} before the long-context phase |
| seed, versions | {seed}; Python {python}, torch {torch}, tokenizers {tokenizers} |

The corpus and the tokenizer follow from the seed alone. The weights do so up to rounding, and only if the time limit `--minutes`
does not end the run before `--tokens` are seen (this one: {ended}).

Chat format: `<|bos|>`, then for each turn `<|role|>`, a line break, the text, `<|end|>`, a line break; roles are system
(optional), user and assistant. The template in `tokenizer_config.json` renders it. Generation stops at `<|end|>`.

The system prompt of the demo ({demo_bytes} bytes, also in `demo-system-prompt.txt`):

> {demo}

## Samples with that system prompt, as the bf16 weights tell them

{samples}
"""

def write_readme(out, net, tok, report):
    told = "\n\n".join(f"### Temperature {t}\n\n" + "\n\n".join(f"**{role}**: {text}" for role, text in turns) for t, turns in samples(net, tok))
    demo = " ".join(DEMO_SYSTEM)
    with open(out + "/README.md", "w") as f: f.write(README.format(**CONFIG, **report, demo=demo, demo_bytes=len(demo), samples=told))
    print(told)

def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default="models/storyteller"); p.add_argument("--tokens", type=float, default=1.2e7)
    p.add_argument("--minutes", type=float, default=40); p.add_argument("--seed", type=int, default=1); p.add_argument("--show", type=int, default=0)
    a = p.parse_args()
    r = random.Random(a.seed)
    if a.show: return print("\n".join(document(r) for _ in range(a.show)))
    torch.set_num_threads(1); torch.manual_seed(a.seed)
    os.makedirs(a.out, exist_ok=True)
    tok = train_tokenizer(a.seed)
    write_static(a.out, tok)
    net = Llama(CONFIG)
    matrices, vectors = ([q for q in net.parameters() if (q.dim() == 2) == m] for m in (True, False))
    opt = torch.optim.AdamW([dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)], lr=0, betas=(0.9, 0.98))
    shapes = {512: 4, 768: 3, 2048: 1, 4096: 1}  # sequence length -> rows of a batch
    feeds = {n: batches(token_stream(tok, a.seed, n > 1000), rows, n) for n, rows in shapes.items()}
    peak, warmup, t0, seen, long_seen, step, losses, saved = 3e-3, 200, time.time(), 0, 0, 0, [], 0
    report = dict(seed=a.seed, params=sum(q.numel() for q in net.parameters()), python=platform.python_version(), torch=torch.__version__,
                  tokenizers=tokenizers.__version__, finished=False, short_loss=None)
    while True:
        progress = max(seen / a.tokens, (time.time() - t0) / 60 / a.minutes)  # a slow machine sees fewer tokens, not a cut schedule
        if progress >= 1: break
        if progress < 0.88: length = 2048 if progress > 0.4 and step % 10 == 9 else 768 if step % 4 == 3 else 512
        else: length = 4096 if step % 2 else 2048
        if progress >= 0.88 and report["short_loss"] is None: report["short_loss"], losses = sum(losses[-100:]) / max(1, len(losses[-100:])), []
        for group in opt.param_groups: group["lr"] = peak * min(1, (step + 1) / warmup) * (0.08 + 0.92 * 0.5 * (1 + math.cos(math.pi * progress)))
        x = next(feeds[length])
        loss = F.cross_entropy(net(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        opt.zero_grad(); loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        seen += x.numel() - len(x); long_seen += (x.numel() - len(x)) * (length > 1000); step += 1; losses.append(loss.item())
        recent = losses[-100:]
        report.update(tokens=seen, long_tokens=long_seen, steps=step, minutes=(time.time() - t0) / 60, loss=sum(recent) / len(recent), length=length, window=len(recent))
        if step % 50 == 0: print(f"step {step} tokens {seen} length {length} loss {loss.item():.4f} mean {report['loss']:.4f} rate {seen / (time.time() - t0):.0f}/s", flush=True)
        if time.time() - saved > 120 and step > 50: checkpoint(a.out, net, report); saved = time.time()
    report.update(finished=True, ended="by tokens" if seen >= a.tokens else "by time", length="2,048 and 4,096" if long_seen else length)
    checkpoint(a.out, net, report)
    write_readme(a.out, net, tok, report)

if __name__ == "__main__": main()
