"""The official anthropic client, against the gateway and against an engine itself."""
import anthropic
import pytest

from processes import engine
from stack import Stack

HELLO = {"model": "storyteller", "system": "You tell stories.", "max_tokens": 24, "extra_body": {"temperature": 0},
         "messages": [{"role": "user", "content": "Write a story about a robot"}]}


@pytest.fixture(scope="module", params=["gateway", "engine"])
def client(request):
    with Stack() if request.param == "gateway" else engine() as server:
        yield anthropic.Anthropic(base_url=server.base, auth_token="none", max_retries=0, timeout=60)


def test_a_message_has_the_shape_and_the_counts(client):
    answer = client.messages.create(**HELLO)

    assert answer.type == "message" and answer.role == "assistant" and answer.model == "storyteller"
    assert answer.content[0].text.startswith("Once upon a time")
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens == 24


def test_a_streamed_message_says_the_same(client):
    with client.messages.stream(**HELLO) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()

    assert text == client.messages.create(**HELLO).content[0].text == last.content[0].text
    assert last.stop_reason == "max_tokens" and last.usage.output_tokens == 24


def test_a_stop_sequence_is_told(client):
    full = client.messages.create(**HELLO).content[0].text
    answer = client.messages.create(**HELLO, stop_sequences=[full.split()[5]])

    assert answer.stop_reason == "stop_sequence" and answer.stop_sequence == full.split()[5]
    assert full.startswith(answer.content[0].text)


def test_what_is_not_served_raises_the_clients_error(client):
    with pytest.raises(anthropic.BadRequestError, match="tools"):
        client.messages.create(**HELLO, tools=[{"name": "f", "input_schema": {"type": "object"}}])
