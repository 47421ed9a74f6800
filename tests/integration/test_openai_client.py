"""The official openai client, against the gateway and against an engine itself."""
import openai
import pytest

from processes import engine
from stack import Stack

HELLO = [{"role": "user", "content": "Write a story about a robot"}]


@pytest.fixture(scope="module", params=["gateway", "engine"])
def client(request):
    with Stack() if request.param == "gateway" else engine() as server:
        yield openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)


def chat(client, **members):
    return client.chat.completions.create(**{"model": "storyteller", "messages": HELLO, "temperature": 0,
                                             "max_tokens": 24, **members})


def complete(client, **members):
    return client.completions.create(**{"model": "storyteller", "prompt": "Once upon a time", "temperature": 0,
                                        "max_tokens": 12, **members})


def test_models_are_listed(client):
    listed = client.models.list().data
    assert [m.id for m in listed] == ["storyteller"]
    assert listed[0].object == "model" and listed[0].created > 1_600_000_000


def test_a_chat_answer_has_the_shape_and_the_counts(client):
    answer = chat(client)

    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert answer.model == "storyteller"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content.startswith("Once upon a time")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24


def test_a_streamed_chat_says_the_same_and_ends_with_its_usage(client):
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))

    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == \
        chat(client).choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 24
    assert len({c.id for c in chunks}) == 1


def test_max_completion_tokens_wins_over_max_tokens(client):
    assert chat(client, max_completion_tokens=3).usage.completion_tokens == 3


def test_a_completion_and_its_stream_say_the_same(client):
    whole = complete(client)
    chunks = list(complete(client, stream=True, stream_options={"include_usage": True}))

    assert whole.object == "text_completion" and whole.id.startswith("cmpl-")
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].usage == whole.usage or chunks[-1].usage.completion_tokens == 12


def test_a_prompt_may_be_token_ids(client):
    assert complete(client, prompt=[100, 200, 300]).usage.prompt_tokens == 3
    assert complete(client, prompt=[[100, 200, 300]]).usage.prompt_tokens == 3
    assert complete(client, prompt=["Once upon a time"]).choices[0].text == complete(client).choices[0].text


def test_several_choices_and_prompts(client):
    warm = {"temperature": 1.2, "seed": 3, "max_tokens": 20}
    answer = chat(client, n=3, **warm)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert len({c.message.content for c in answer.choices}) > 1
    streamed = {0: "", 1: "", 2: ""}
    for chunk in chat(client, n=3, stream=True, **warm):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == {c.index: c.message.content for c in answer.choices}
    both = complete(client, prompt=["Once upon a time", "The fox"])
    assert both.choices[0].text == complete(client).choices[0].text and both.choices[1].index == 1


def test_penalties_and_biases_change_the_answer(client):
    plain = chat(client, max_tokens=60).choices[0].message.content
    for members in ({"presence_penalty": 2}, {"frequency_penalty": 2}, {"extra_body": {"repetition_penalty": 2}},
                    {"extra_body": {"bad_words": ["robot", " robot"]}}):
        changed = chat(client, max_tokens=60, **members).choices[0].message.content
        assert changed != plain, members
    assert "robot" in plain and "robot" not in changed


def test_responses_whole_and_streamed(client):
    wanted = {"model": "storyteller", "instructions": "Tell stories.", "input": "Write a story about a robot", "temperature": 0,
              "max_output_tokens": 24}
    whole = client.responses.create(**wanted)
    assert whole.status == "incomplete" and whole.usage.output_tokens == 24
    events = list(client.responses.create(**wanted, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text


def test_chat_logprobs(client):
    content = chat(client, logprobs=True, top_logprobs=3, max_tokens=5).choices[0].logprobs.content

    assert len(content) == 5
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.logprob == max(t.logprob for t in token.top_logprobs) <= 0
        assert bytes(token.bytes).decode() == token.token


def test_completion_logprobs(client):
    logprobs = complete(client, logprobs=2, max_tokens=5).choices[0].logprobs

    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == 5
    assert all(len(top) in (2, 3) for top in logprobs.top_logprobs)
    assert logprobs.text_offset[0] == 0


def test_streamed_logprobs_are_those_of_the_whole(client):
    whole = chat(client, logprobs=True, max_tokens=6).choices[0].logprobs.content
    parts = [t for c in chat(client, logprobs=True, max_tokens=6, stream=True)
             if c.choices and c.choices[0].logprobs for t in c.choices[0].logprobs.content]

    assert [(t.token, t.logprob) for t in parts] == [(t.token, t.logprob) for t in whole]


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings_end_the_answer_before_them(client, stream):
    full = chat(client, max_tokens=60).choices[0].message.content
    word = full.split()[6]

    answer = chat(client, max_tokens=60, stop=["@@never@@", word], stream=stream)

    if stream:
        chunks = list(answer)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        reason = [c.choices[0].finish_reason for c in chunks if c.choices][-1]
    else:
        text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert text == full[:full.index(word)]
    assert reason == "stop"


def test_a_seed_repeats_the_answer_and_another_gives_another(client):
    def say(seed):
        return chat(client, temperature=1.2, seed=seed, max_tokens=40).choices[0].message.content

    assert say(7) == say(7)
    assert len({say(seed) for seed in range(6)}) > 1


def test_min_tokens_and_ignore_eos(client):
    def length(**extra):
        return chat(client, max_tokens=2000, extra_body=extra).usage.completion_tokens

    alone = length()
    assert alone < 1000
    assert alone + 50 <= length(min_tokens=alone + 50) < 2000
    assert length(ignore_eos=True) == 2000
    assert chat(client, max_tokens=1).usage.completion_tokens == 1


@pytest.mark.parametrize("members, error, words", [
    ({"model": "gpt-4"}, openai.NotFoundError, "gpt-4"),
    ({"temperature": -1}, openai.BadRequestError, "temperature"),
    ({"temperature": "hot"}, openai.BadRequestError, "temperature"),
    ({"top_p": 0}, openai.BadRequestError, "top_p"),
    ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
    ({"max_tokens": 1_000_000}, openai.BadRequestError, "4096"),
    ({"messages": []}, openai.BadRequestError, "message"),
    ({"messages": "hello"}, openai.BadRequestError, "messages"),
    ({"messages": [{"content": "x"}]}, openai.BadRequestError, "role"),
    ({"n": 2, "temperature": 0}, openai.BadRequestError, "n must be 1 when using greedy sampling"),
    ({"n": 0}, openai.BadRequestError, "n"),
    ({"stop": [""]}, openai.BadRequestError, "stop"),
    ({"logit_bias": {"99999": 1}}, openai.BadRequestError, "logit_bias"),
    ({"presence_penalty": 3}, openai.BadRequestError, "presence_penalty"),
    ({"top_logprobs": 2}, openai.BadRequestError, "logprobs"),
    ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format"),
    ({"stream_options": {"include_usage": True}}, openai.BadRequestError, "stream"),
    ({"extra_body": {"min_tokens": 99}}, openai.BadRequestError, "min_tokens"),
])
def test_a_wrong_parameter_raises_the_clients_error_and_names_it(client, members, error, words):
    with pytest.raises(error) as raised:
        chat(client, **members)

    assert words in raised.value.message
    assert raised.value.body["code"] == raised.value.status_code


def test_members_without_effect_are_taken(client):
    answer = chat(client, user="me", n=1, presence_penalty=0, frequency_penalty=0, logit_bias={}, store=False,
                  metadata={"a": "b"}, service_tier="auto", tool_choice="none", response_format={"type": "text"},
                  extra_body={"priority": 0, "best_of": 1, "repetition_penalty": 1.0})
    assert answer.usage.completion_tokens == 24


@pytest.mark.parametrize("text", ["", " ", "\0", "a\0b", "\U0001F916 \U0001F680", "é", "\u200d\u202e",
                                  "<|im_start|>system", "\U0010FFFF", "\ud7ff", "x" * 1000, "\r\n\t", "{{ messages }}"])
def test_any_text_is_a_message(client, text):
    assert chat(client, messages=[{"role": "user", "content": text}], max_tokens=2).usage.completion_tokens <= 2


def test_text_parts_are_joined(client):
    parts = [{"type": "text", "text": "Write a story"}, {"type": "text", "text": "about a robot"}]
    assert chat(client, messages=[{"role": "user", "content": parts}]).usage.completion_tokens == 24
    with pytest.raises(openai.BadRequestError):
        chat(client, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}])
