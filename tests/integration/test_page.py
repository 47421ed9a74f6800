"""The page at /ui in a browser, as a person uses it: watch, chat, ask why."""
import concurrent.futures
import json
import os
import random
import signal

import pytest

from browser import CHROMIUM, Browser
from stack import FIRST_TURN, Stack, get, post, wait_until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: tools/install-deps test brings it")


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        wait_until(lambda: len(running.ready_pods("prefill")) == 1 and len(running.ready_pods("decode")) == 2, "all pods")
        yield running


@pytest.fixture
def page(stack):
    with Browser(stack.base + "/ui") as browser:
        browser.sees("document.querySelectorAll('.pod').length === 3")
        yield browser
        assert not browser.troubles
        assert all(url.startswith((stack.base, "data:")) for url in browser.resources)  # nothing from outside


def text(page, selector):
    return page.js(f"document.querySelector('{selector}')?.innerText || ''")


def test_pods_are_shown_by_role_with_their_state(page, stack):
    assert page.js("[...document.querySelectorAll('.lane h3')].map(h => h.innerText)") == ["Prefill", "Decode"]
    assert {p["name"] for p in stack.pods()} == set(page.js("[...document.querySelectorAll('.pod')].map(p => p.dataset.pod)"))
    page.sees("[...document.querySelectorAll('.pod')].every(p => p.innerText.includes('Ready'))")
    assert "ready" in text(page, "#summary")


def test_a_request_is_seen_on_its_way_and_where_its_prompt_came_from(page, stack):
    prefill = stack.pods("prefill")[0]
    pid = stack.pid(prefill)
    os.kill(pid, signal.SIGSTOP)  # the request stays in its prefill
    try:
        page.tab_to("#message")
        page.type(FIRST_TURN[0]["content"] + " about a lighthouse")
        page.press("Enter")
        page.sees("document.querySelector('#requests tr .now')?.innerText.startsWith('prefill')")
    finally:
        os.kill(pid, signal.SIGCONT)
    page.sees("document.querySelector('#requests tr .way')?.innerText.includes('done')")
    assert "KV" in text(page, "#requests tr .way")
    bar = page.js("document.querySelector('#requests tr .bar').getAttribute('aria-label')")
    assert " moved" in bar and " 0 moved" not in bar
    assert int(page.js("document.querySelectorAll('#requests tr rect').length")) == 3


def stages(page, engines=(), **more):
    """How the page shows the way of a request with these members: (class, text) of each stage."""
    request = {"stage": "prefill", "prefill": "p0", "decode": "d0", "remoteTokens": 0, **more,
               "engines": [dict(zip(("pod", "phase", "readyTokens", "promptTokens"), told)) for told in engines]}
    return [tuple(pair) for pair in page.js(f"[...way({json.dumps(request)}).children].map(s => [s.className, s.textContent])")]


def test_the_phases_that_engines_tell_are_marked_on_the_way(page):
    assert stages(page) == [("past", "pick"), ("now", "prefill p0"), ("", "decode d0")]
    assert stages(page, [("p0", "queue", 0, 2048)]) == [
        ("past", "pick"), ("now", "queue p0"), ("", "prefill p0"), ("", "decode d0")]
    assert stages(page, [("p0", "prefill", 600, 2048), ("d0", "transfer", 512, 2048)]) == [
        ("past", "pick"), ("now", "prefill p0 600 of 2048"), ("now", "KV 512 of 2048"), ("", "decode d0")]
    assert stages(page, [("d0", "transfer", 0, 2048)]) == [
        ("past", "pick"), ("past", "prefill p0"), ("now", "KV"), ("", "decode d0")]
    assert stages(page, [("d0", "prefill", 12, 16)], prefill="", stage="decode") == [
        ("past", "pick"), ("now", "decode d0 12 of 16")]
    assert stages(page, stage="answering", remoteTokens=15) == [
        ("past", "pick"), ("past", "prefill p0"), ("past", "KV"), ("now", "decode d0")]
    assert stages(page, stage="failed") == [
        ("past", "pick"), ("past", "prefill p0"), ("past", "decode d0"), ("bad", "failed")]


def seen_with_a_prefill_stopped_in_transfer(stack, seen, attempts=10):
    """Whether `seen()` while a request waits for KV whose prefill pod was stopped in the middle of its prompt."""
    pid = stack.pid(stack.ready_pods("prefill")[0])

    def moving():
        return any(told["phase"] == "transfer" for pod in stack.ready_pods("decode")
                   for told in json.loads(get(f"http://{pod['address']}:8001/baton/v1/requests"))["requests"])

    def attempt():
        body = {"model": "storyteller", "prompt": [random.randrange(100, 1000) for _ in range(3500)], "max_tokens": 4}
        asked = pool.submit(post, f"{stack.url}/completions", body)
        while not moving():
            if asked.done():
                return False
        os.kill(pid, signal.SIGSTOP)
        try:
            return moving() and seen()
        finally:
            os.kill(pid, signal.SIGCONT)
            assert asked.result()[0] == 200

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return any(attempt() for _ in range(attempts))


def test_kv_is_seen_while_it_moves(page, stack):
    def seen():
        try:  # decode waits for five seconds for a prefill engine that says nothing
            return page.sees("[...document.querySelectorAll('#requests .now')].some(s => /^KV( \\d+ of 3500)?$/.test(s.innerText))", 4)
        except AssertionError:
            return False

    assert seen_with_a_prefill_stopped_in_transfer(stack, seen)
    page.sees("document.querySelector('#requests tr .way')?.innerText.includes('done')")


def test_a_conversation_has_turns_and_can_be_begun_anew_by_keyboard(page):
    page.tab_to("#message")
    for turn in (1, 2):
        page.type("Write a story about a fox")
        page.press("Enter")
        page.sees(f"document.querySelectorAll('#log .assistant').length === {turn} && document.querySelector('#stop').disabled"
                  f" && document.querySelectorAll('#log .assistant')[{turn - 1}].innerText.length > 20")
    page.tab_to("#fresh")
    page.press("Enter")
    assert text(page, "#log") == ""


def test_a_message_sent_before_the_models_are_known_waits_for_them(page):
    page.js("""document.querySelector('#model').replaceChildren(); document.querySelector('#message').value = 'Hello';
               document.querySelector('#chat-form').requestSubmit()""")
    page.sees("document.querySelector('#stop').disabled && document.querySelector('#log .assistant')?.innerText.length > 20")


def test_escape_stops_an_answer(page, stack):
    held = [stack.pid(p) for p in stack.pods("decode")]
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        page.tab_to("#message")
        page.type("Write a story about an owl")
        page.press("Enter")
        page.sees("document.body.innerText.includes('1 requests on')")
        page.press("Escape")
        page.sees("document.querySelector('#log').innerText.includes('[stopped]')")
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)
    page.sees("document.querySelector('#requests tr .way')?.innerText.includes('left')")


def test_why_this_pod_is_opened_read_and_closed_by_keyboard(page, stack):
    stack.chat(FIRST_TURN, {"x-request-id": "why-me-1"})
    page.sees("document.querySelector('#requests tr[data-id=why-me-1] button')")

    page.tab_to("#requests tr[data-id=why-me-1] button")
    page.press("Enter")

    page.sees("document.querySelector('#why').open")
    told = text(page, "#why-text")
    assert "Decode pod: " in told and "(picked)" in told and "blocks held" in told
    assert all(p["name"] in told for p in stack.pods("decode"))
    assert page.js("document.activeElement.id") == "close"
    page.press("Escape")
    page.sees("!document.querySelector('#why').open")


def test_light_and_dark_are_the_systems_choice_and_both_can_be_read(page):
    def colours():
        return page.js("""(() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]
            .map(c => c.match(/\\d+/g).map(Number).reduce((a, b) => a + b)); })()""")

    light = colours()
    page.prefer("dark")
    dark = colours()
    assert light[0] > light[1] + 400 and dark[1] > dark[0] + 400


def test_a_gateway_with_keys_asks_for_one(tmp_path):
    (tmp_path / "keys").write_text("sesame\n")
    with Stack("--api-key-file", str(tmp_path / "keys")) as stack, Browser(stack.base + "/ui") as page:
        page.sees("!document.querySelector('#key-form').hidden")
        page.tab_to("#key")
        page.type("sesame")
        page.press("Enter")
        page.sees("document.querySelector('#key-form').hidden && document.querySelectorAll('.pod').length === 3")


def test_no_page_when_it_is_not_wanted():
    with Stack("--no-ui") as stack:
        with pytest.raises(Exception, match="404"):
            get(stack.base + "/ui")
