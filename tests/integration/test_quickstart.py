"""What a newcomer does: serve the quickstart, chat two turns, stop."""
import json
import os
import re

import openai
import pytest

from stack import FIRST_TURN, Stack, get, metric, post, wait_until


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        yield running


@pytest.fixture
def client(stack):
    return openai.OpenAI(base_url=stack.url, api_key="none", max_retries=0, timeout=60)


def number(headers, name):
    return int(headers[name])


def timing(headers):
    """Server-Timing as {name: ms}."""
    return {name: float(ms) for name, ms in re.findall(r"([^;, ]+);dur=([0-9.]+)", headers["server-timing"])}


def test_the_first_turn_moves_kv_and_the_second_stays_on_its_decode_pod(stack):
    status, headers, text = stack.chat(FIRST_TURN, max_tokens=200)

    assert status == 200, text
    assert headers["x-baton-prefill"].startswith("storyteller-kserve-prefill-")
    assert number(headers, "x-baton-remote-tokens") > 0
    assert number(headers, "x-baton-kv-bytes") > 0
    assert (number(headers, "x-baton-remote-tokens") + number(headers, "x-baton-cached-tokens")
            + number(headers, "x-baton-computed-tokens")) == number(headers, "x-baton-prompt-tokens")
    answer = json.loads(text)["choices"][0]["message"]["content"]
    assert answer.startswith("Once upon a time, there was a robot")
    times = timing(headers)
    assert set(times) >= {"queue", "pick", "prefill", "transfer", "first-token"}
    assert times["first-token"] >= times["transfer"] > 0 and times["prefill"] > 0

    second = FIRST_TURN + [{"role": "assistant", "content": answer}, {"role": "user", "content": "Continue"}]
    status, again, text = stack.chat(second, max_tokens=64)

    assert status == 200, text
    assert again["x-baton-prefill"].startswith("none"), again["x-baton-prefill"]
    assert "below-threshold" in again["x-baton-prefill"]
    assert again["x-baton-decode"] == headers["x-baton-decode"]
    assert number(again, "x-baton-cached-tokens") > 0
    assert number(again, "x-baton-remote-tokens") == 0
    assert set(timing(again)) >= {"queue", "pick", "first-token"}
    assert not {"prefill", "transfer"} & set(timing(again))


def test_streamed_answers_carry_the_same_proof_and_the_same_text(stack, client):
    fresh = [{"role": "user", "content": "Write a story about a fox, and take the long way round the forest, past the old "
              "mill, over the bridge with the missing plank, and home again before the moon comes up."}]
    raw = client.chat.completions.with_raw_response.create(
        model="storyteller", messages=fresh, temperature=0, max_tokens=40, stream=True)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)

    assert int(raw.headers["x-baton-remote-tokens"]) > 0
    assert set(timing(raw.headers)) >= {"queue", "pick", "prefill", "transfer", "first-token"}
    whole = client.chat.completions.create(model="storyteller", messages=fresh, temperature=0, max_tokens=40)
    assert whole.choices[0].message.content == text


def test_the_openai_client_lists_models_completes_and_reads_errors(client):
    assert [m.id for m in client.models.list().data] == ["storyteller"]
    done = client.completions.create(model="storyteller", prompt="Once upon a time", max_tokens=8, temperature=0)
    assert done.usage.completion_tokens == 8
    streamed = client.completions.create(model="storyteller", prompt="Once upon a time", max_tokens=8, temperature=0,
                                         stream=True, stream_options={"include_usage": True})
    chunks = list(streamed)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == done.choices[0].text
    assert chunks[-1].usage.completion_tokens == 8
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "x"}])
    assert "storyteller" in str(unknown.value)
    with pytest.raises(openai.BadRequestError) as cold:
        client.chat.completions.create(model="storyteller", messages=[{"role": "user", "content": "x"}], temperature=-1)
    assert "temperature" in str(cold.value)


def test_routing_members_that_come_from_a_client_are_removed(stack):
    status, headers, text = stack.chat(
        [{"role": "user", "content": "Hello"}], headers={"x-prefiller-host-port": "127.0.0.1:1"},
        kv_transfer_params={"do_remote_prefill": True, "remote_host": "127.0.0.1", "remote_port": 1,
                            "remote_engine_id": "x", "remote_block_ids": [1]})

    assert status == 200, text
    assert number(headers, "x-baton-remote-tokens") == 0


def test_nothing_stays_pinned_at_rest(stack):
    stack.chat([{"role": "user", "content": "Write a story about a lighthouse keeper who counts the stars each night and "
                 "writes the number in a book with a blue cover, year after year after year."}])

    def at_rest():
        texts = [stack.engine_metrics(p) for p in stack.pods()]
        return all(metric(t, "baton_kv_blocks_pinned") == 0 and metric(t, "baton_kv_blocks_leased") == 0 for t in texts)

    wait_until(at_rest, "pinned = leased = 0 on every engine")


def test_the_gateway_exposes_its_metrics(stack):
    assert metric(get(f"{stack.base}/metrics"), "baton_gateway_requests_total") > 0


def test_proof_headers_can_be_turned_off():
    with Stack("--no-proof-headers") as running:
        status, headers, text = running.chat(FIRST_TURN, max_tokens=2)
    assert status == 200, text
    assert not [name for name in headers if name.lower().startswith("x-baton-") or name.lower() == "server-timing"]


def test_ctrl_c_stops_everything_within_two_seconds():
    with Stack() as running:
        pids = [c["pid"] for p in running.pods() for c in p["containers"]]
        assert pids

        seconds, code = running.interrupt()

    assert seconds <= 2.0
    assert code in (0, 130)
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def test_ready_is_printed_once_and_within_five_seconds():
    with Stack(seconds=5) as running:
        assert len([line for line in running.stdout if re.match("ready ", line)]) == 1
        assert len(running.ready_pods("decode")) == 2
        assert len(running.ready_pods("prefill")) == 1
