"""kv_transfer_params that a client hands to an engine itself: whatever they say, the answer is a 400 or the same as
without them, and the engine is well afterwards."""
import json

import pytest

from processes import Pair, engine, free_port
from stack import metric, post, wait_until

PROMPT = list(range(100, 200))
INVENTED = {"do_remote_prefill": True, "do_remote_decode": False, "remote_engine_id": "11111111-2222", "tp_size": 1,
            "remote_request_id": "cmpl-x-0", "remote_host": "127.0.0.1", "remote_block_ids": [[1, 2, 3, 4, 5, 6, 7]],
            "remote_num_tokens": 100, "baton_generation": 7, "baton_lease_token": "0" * 32}


def complete(program, prompt=PROMPT, **members):
    status, _, text = post(f"{program.url}/completions", {
        "model": "storyteller", "prompt": prompt, "max_tokens": 6, "temperature": 0, "ignore_eos": True, **members})
    return status, json.loads(text)


def granted(program, prompt=PROMPT):
    """What a prefill engine answers: the params of a new lease."""
    status, answer = complete(program, prompt, max_tokens=1,
                              kv_transfer_params={"do_remote_decode": True, "do_remote_prefill": False})
    assert status == 200, answer
    return answer["kv_transfer_params"]


def text_of(answer):
    return answer["choices"][0]["text"]


@pytest.fixture(scope="module")
def plain():
    with engine() as alone:
        yield alone


@pytest.fixture
def pair():
    with Pair(("--no-enable-prefix-caching",), ("--no-enable-prefix-caching",)) as running:
        yield running
        wait_until(running.prefill.at_rest, "the prefill engine at rest", 5)
        wait_until(running.decode.at_rest, "the decode engine at rest", 5)


def pulled(program):
    return program.metric("vllm:prompt_tokens_by_source_total", source="external_kv_transfer")


def test_true_params_are_used_once_and_a_replay_is_computed_instead(plain, pair):
    expected = text_of(complete(plain)[1])
    params = granted(pair.prefill)

    first = complete(pair.decode, kv_transfer_params=params)
    assert first[0] == 200 and text_of(first[1]) == expected
    tokens = pulled(pair.decode)
    assert tokens >= 96

    for _ in range(2):
        replay = complete(pair.decode, kv_transfer_params=params)
        assert replay[0] == 200 and text_of(replay[1]) == expected
    assert pulled(pair.decode) == tokens
    assert pair.decode.metric("baton_kv_pulls_total", result="failed") == 2


@pytest.mark.parametrize("change", [
    {"remote_port": 1},
    {"remote_host": "127.77.255.254"},
    {"remote_host": "not-an-address"},
    {"remote_host": "::1"},
])
def test_invented_params_are_refused_or_computed_locally(plain, pair, change):
    status, answer = complete(pair.decode, kv_transfer_params={**INVENTED, "remote_port": free_port(), **change})

    assert status in (200, 400), answer
    if status == 200:
        assert text_of(answer) == text_of(complete(plain)[1])
    else:
        assert "kv_transfer_params" in answer["error"]["message"]
    assert pulled(pair.decode) == 0


@pytest.mark.parametrize("change", [
    {"baton_lease_token": "f" * 32},
    {"baton_lease_token": "short"},
    {"baton_generation": 999_999},
    {"remote_block_ids": [[0]]},
    {"remote_block_ids": [[10 ** 9] * 7]},
    {"remote_block_ids": [list(range(100_000))]},
    {"remote_num_tokens": 4_000_000_000},
    {"remote_num_tokens": 1},
    {"remote_engine_id": "somebody-else"},
    {"remote_request_id": "cmpl-of-another"},
    {"tp_size": 8},
])
def test_true_params_with_one_member_changed_never_bring_in_foreign_kv(plain, pair, change):
    params = granted(pair.prefill)

    status, answer = complete(pair.decode, kv_transfer_params={**params, **change})

    assert status in (200, 400), answer
    if status == 200:
        assert text_of(answer) == text_of(complete(plain)[1])
    assert complete(pair.decode, kv_transfer_params=params)[0] == 200  # pulls, or finds the lease gone


def test_params_of_another_prompt_are_not_taken_for_this_one(plain, pair):
    other = list(range(300, 400))
    params = granted(pair.prefill, other)

    status, answer = complete(pair.decode, kv_transfer_params=params)

    assert status == 400 or text_of(answer) == text_of(complete(plain)[1])
    complete(pair.decode, other, kv_transfer_params=params)


@pytest.mark.parametrize("missing", sorted(set(INVENTED) - {"do_remote_prefill", "do_remote_decode", "tp_size"}))
def test_incomplete_params_are_refused_naming_the_member(pair, missing):
    params = {**INVENTED, "remote_port": 1}
    del params[missing]

    status, answer = complete(pair.decode, kv_transfer_params=params)

    assert status == 400
    assert missing in answer["error"]["message"]


@pytest.mark.parametrize("params", ["x", [], 7, {"do_remote_prefill": "yes"}, {"do_remote_prefill": True},
                                    {"do_remote_prefill": True, "do_remote_decode": True},
                                    {**INVENTED, "remote_port": 70_000}, {**INVENTED, "remote_port": -1},
                                    {**INVENTED, "remote_port": 1, "remote_block_ids": [["a"]]}])
def test_params_of_a_wrong_shape_are_refused(plain, params):
    status, answer = complete(plain, kv_transfer_params=params)

    assert status == 400
    assert "kv_transfer_params" in answer["error"]["message"]
    assert complete(plain)[0] == 200


def test_an_expired_lease_is_computed_instead(plain):
    short = '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_connector_extra_config":{"kv_lease_duration":0.2}}'
    with Pair(("--kv-transfer-config", short)) as pair:
        params = granted(pair.prefill)
        wait_until(lambda: pair.prefill.metric("baton_kv_leases_expired_total"), "the lease to expire")

        status, answer = complete(pair.decode, kv_transfer_params=params)

        assert status == 200 and text_of(answer) == text_of(complete(plain)[1])
        assert pulled(pair.decode) == 0
        assert pair.prefill.at_rest() and pair.decode.at_rest()


def test_an_engine_without_a_connector_says_what_becomes_of_the_params(plain):
    status, answer = complete(plain, kv_transfer_params={**INVENTED, "remote_port": 1})

    assert status == 400 and "without KV transfer" in answer["error"]["message"]
