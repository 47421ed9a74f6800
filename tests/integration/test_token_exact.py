"""The same request gives the same tokens and the same log-probabilities, bit by bit, whichever way its prompt's KV
came about: computed by one engine, pulled from a prefill engine, found in the prefix cache, computed anew."""
import concurrent.futures
import json
import random

import pytest

from processes import Pair, engine
from stack import Stack, metric, post

CONTEXT = 4096
LENGTHS = [1, 15, 16, 17, 100, 1000, CONTEXT - 1]
GREEDY = {"temperature": 0}
SEEDED = {"temperature": 0.9, "top_p": 0.95, "top_k": 40, "seed": 20251}
SHAPED = {**SEEDED, "presence_penalty": 0.5, "frequency_penalty": 0.5, "repetition_penalty": 1.2, "bad_words": ["the", "a fox"],
          "logit_bias": {"300": 4, "301": -100}}


def prompt_of(length):
    return [random.Random(length).randrange(100, 1000) for _ in range(length)]


def body_of(length, sampling):
    return {"model": "storyteller", "prompt": prompt_of(length), "max_tokens": min(8, CONTEXT - length), "logprobs": 2,
            "ignore_eos": True, **sampling}


def answer(url, length, sampling, headers=None):
    status, _, text = post(f"{url}/completions", body_of(length, sampling), headers)
    assert status == 200, text
    choice = json.loads(text)["choices"][0]
    return choice["text"], choice["logprobs"], choice["finish_reason"]


@pytest.fixture(scope="module")
def expected():
    """What one plain engine says that keeps no prefixes and computes every prompt in one step."""
    with engine("--no-enable-prefix-caching", "--max-num-batched-tokens", str(CONTEXT)) as plain:
        return everything(plain.url)


def everything(url, headers=None):
    return {(length, name): answer(url, length, sampling, headers)
            for length in LENGTHS
            for name, sampling in (("greedy", GREEDY), ("seeded", SEEDED), ("shaped", SHAPED))}


@pytest.mark.parametrize("flags", [
    ("--block-size", "16", "--threads", "2", "--max-num-batched-tokens", "64"),
    ("--block-size", "32", "--threads", "2", "--max-num-batched-tokens", "100"),
    ("--block-size", "64", "--threads", "3", "--max-num-batched-tokens", "333"),
])
def test_one_engine_says_the_same_with_other_blocks_threads_and_chunks_and_after_a_prefix_hit(expected, flags):
    with engine(*flags) as other:
        assert everything(other.url) == expected
        assert everything(other.url) == expected
        assert other.metric("vllm:prefix_cache_hits_total") > 2 * CONTEXT


@pytest.mark.parametrize("prefill, decode", [
    (("--block-size", "16"), ("--block-size", "16", "--max-num-batched-tokens", "128")),
    (("--block-size", "16", "--threads", "2"), ("--block-size", "64",)),
    (("--block-size", "64", "--max-num-batched-tokens", "77"), ("--block-size", "32", "--threads", "2")),
    (("--block-size", "32",), ("--block-size", "16", "--no-enable-prefix-caching")),
])
def test_a_pair_says_the_same_whatever_the_block_sizes_of_its_two_sides(expected, prefill, decode):
    with Pair(prefill, decode) as pair:
        assert everything(pair.url, pair.headers) == expected
        assert pair.decode.metric("vllm:prompt_tokens_by_source_total", source="external_kv_transfer") > CONTEXT
        assert everything(pair.url, pair.headers) == expected
        assert pair.decode.at_rest()


def test_the_whole_stack_says_the_same(expected):
    with Stack() as stack:
        assert everything(stack.url) == expected
        moved = sum(metric(stack.engine_metrics(p), "vllm:prompt_tokens_by_source_total", source="external_kv_transfer")
                    for p in stack.ready_pods("decode"))
        assert moved > CONTEXT


def test_preempted_requests_say_the_same():
    """Four answers of 500 tokens in room for two: they push each other out and are computed again."""
    seeds = [{**(SHAPED if seed % 2 else SEEDED), "seed": seed, "max_tokens": 500} for seed in range(4)]
    with engine() as roomy:
        wanted = [answer(roomy.url, 100, seeded) for seeded in seeds]
    with engine("--num-gpu-blocks-override", "80", "--max-model-len", "1200", "--max-num-batched-tokens", "96") as small:
        with concurrent.futures.ThreadPoolExecutor(len(seeds)) as pool:
            assert list(pool.map(lambda seeded: answer(small.url, 100, seeded), seeds)) == wanted
        assert small.metric("vllm:num_preemptions_total") > 0
