"""Every fault of a service, with the number of requests that it saw; none becomes a reply."""

from __future__ import annotations

import datetime
import email.utils
import os
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from pathlib import Path

import loopback
import pytest
import speeds

from vsfa_jax.api import Cache, Client, Failure, Prices, Reply, Service, chat, picture
from vsfa_jax.api.replies import FAILURES
from vsfa_jax.core.errors import (
    AuthenticationError,
    CacheError,
    ConfigError,
    OutOfBudgetError,
    OutOfQuotaError,
)

ROOT = Path(__file__).parents[1]
KEY = "sk-loopback-0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"outcome": {"enum": ["yes", "no"]}},
    "required": ["outcome"],
    "additionalProperties": False,
}
HTML = loopback.Answer(b"<html>gateway</html>", headers={"Content-Type": "text/html"})


@pytest.fixture(scope="module")
def server():
    with loopback.Loopback() as started:
        yield started


@pytest.fixture
def ask(server, tmp_path, monkeypatch):
    """Asks the server, which follows a script, through the test's cache."""
    monkeypatch.setenv("LOOPBACK_KEY", KEY)

    def asked(script, requests, *, service=None, **bounds):
        server.forget(script)
        told = {"first_wait_s": 0.01, "retries": 2, "timeout_s": 5.0} | (service or {})
        client = Client(
            Service(base_url=server.url, key_variable="LOOPBACK_KEY", **told),
            Cache(tmp_path / "replies.sqlite"),
            title="test",
            progress=False,
            **bounds,
        )
        with client:
            return client.ask(requests)

    return asked


def question(number=0, **changed):
    messages = [{"role": "user", "content": f"question {number}"}]
    return chat(**{"model": "m", "messages": messages} | changed)


def kept(tmp_path):
    with Cache(tmp_path / "replies.sqlite") as cache:
        return len(cache)


def then(first, after=loopback.echo, times=1):
    """`first` to the first requests of a kind, then what `after` says."""
    return lambda body, number: first if number < times else after(body, number)


PASSING = {
    "429": (loopback.refuse(429), {}),
    "429 with a date": (loopback.refuse(429, retry_after="Mon, 01 Jan 2024 00:00:00 GMT"), {}),
    "500": (loopback.refuse(500), {}),
    "503 without a body": (loopback.Answer(status=503), {}),
    "time-out": (loopback.Answer(b"{}", delay_s=0.6), {"timeout_s": 0.3}),
    "dropped": (loopback.Answer(drop=True), {}),
    "cut off": (loopback.Answer(loopback.say("half").body, cut=True), {}),
    "HTML with 200": (HTML, {}),
    "truncated JSON": (loopback.Answer(loopback.say("half").body[:-20]), {}),
    "a list": (loopback.as_json([]), {}),
    "no message": (loopback.as_json({"choices": [{}]}), {}),
    "an unknown ending": (loopback.say("text", finish_reason="tool_calls"), {}),
    "empty choices": (loopback.as_json({"choices": []}), {}),
    "content None": (loopback.say(None), {}),
    "blank content": (loopback.say(" \n"), {}),
}
KINDS = {
    "429": "rate_limit", "429 with a date": "rate_limit", "500": "server",
    "503 without a body": "server", "time-out": "timeout", "dropped": "connection",
    "cut off": "connection", "HTML with 200": "not_json", "truncated JSON": "not_json",
    "a list": "malformed", "no message": "malformed", "an unknown ending": "malformed",
    "empty choices": "empty", "content None": "empty", "blank content": "empty",
}  # fmt: skip


@pytest.mark.parametrize("name", speeds.cases(PASSING, ("429", "HTML with 200", "dropped")))
def test_what_passes_is_tried_again_and_never_kept(name, ask, tmp_path, server):
    fault, service = PASSING[name]
    (reply,) = ask(then(fault), [question()], service=service)
    assert isinstance(reply, Reply)
    assert reply.text == "you said: question 0"
    assert len(server.bodies) == 2
    (failure,) = ask(lambda body, number: fault, [question(1)], service=service | {"retries": 1})
    assert isinstance(failure, Failure)
    assert failure.kind == KINDS[name]
    assert failure.kind in FAILURES
    assert len(server.bodies) == 2
    assert kept(tmp_path) == 1


LASTING = {
    "content filter": (loopback.say(None, finish_reason="content_filter"), "content_filter"),
    "refusal": (loopback.say(None, refusal="I won't"), "refusal"),
    "cut at the bound": (loopback.say('{"outcome": "yes"', finish_reason="length"), "length"),
    "wrong value": (loopback.say('{"outcome": "maybe"}'), "wrong_schema"),
    "a further key": (loopback.say('{"outcome": "yes", "x": 1}'), "wrong_schema"),
    "one key twice": (loopback.say('{"outcome": "no", "outcome": "yes"}'), "wrong_schema"),
    "a fence": (loopback.say('```json\n{"outcome": "yes"}\n```'), "wrong_schema"),
    "words": (loopback.say("The outcome is yes."), "wrong_schema"),
    "NaN": (loopback.say("NaN"), "wrong_schema"),
}


@pytest.mark.parametrize("name", speeds.cases(LASTING, ("content filter", "wrong value")))
def test_what_lasts_is_asked_once_and_kept_as_a_failure_at_temperature_0(
    name, ask, tmp_path, server
):
    answer, kind = LASTING[name]
    for temperature, rows in ((0.0, 1), (0.7, 1)):
        request = question(schema=SCHEMA, temperature=temperature)
        (failure,) = ask(lambda body, number: answer, [request])
        assert (failure.kind, failure.cached) == (kind, False)
        assert failure.usage.output_tokens == 5
        assert len(server.bodies) == 1
        assert kept(tmp_path) == rows


IMAGES = {
    "text": loopback.show(b"no picture"),
    "half a picture": loopback.show(loopback.png()[:-30]),
    "svg": loopback.show(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "not base64": loopback.as_json({"data": [{"b64_json": "%%%"}]}),
    "an address": loopback.as_json({"data": [{"url": "http://127.0.0.1:1/x.png"}]}),
}


@pytest.mark.parametrize("name", speeds.cases(IMAGES, ("half a picture",)))
def test_an_image_that_is_none(name, ask, tmp_path, server):
    (failure,) = ask(lambda body, number: IMAGES[name], [picture(model="p", prompt="x")])
    assert failure.kind == "no_image"
    assert len(server.bodies) == 1
    assert kept(tmp_path) == 0


@pytest.mark.slow
@pytest.mark.parametrize("code", ["content_policy_violation", "invalid_value"])
def test_a_bad_request_is_not_tried_again(code, ask, server):
    (failure,) = ask(lambda body, number: loopback.refuse(400, code), [question()])
    assert failure.kind == ("bad_request" if code == "invalid_value" else "content_filter")
    assert len(server.bodies) == 1


def test_retry_after_is_heeded_by_all(ask, server):
    def script(body, number):
        first = body["messages"][0]["content"] == "question 0" and number == 0
        return loopback.refuse(429, retry_after="0.3") if first else loopback.echo(body, number)

    found = ask(script, [question(n) for n in range(4)], service={"concurrency": 1})
    assert all(isinstance(each, Reply) for each in found)
    assert len(server.bodies) == 5
    assert server.times[1] - server.times[0] >= 0.3
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    for told in ("3600", email.utils.format_datetime(later, usegmt=True)):
        (failure,) = ask(
            lambda body, number, told=told: loopback.refuse(429, retry_after=told), [question(9)]
        )
        assert failure.kind == "rate_limit"
        assert "s of rest" in failure.message
        assert len(server.bodies) == 1


@pytest.mark.slow
def test_without_retry_after_the_waits_double(ask, server):
    ask(lambda body, number: loopback.refuse(429), [question()], service={"first_wait_s": 0.2})
    waits = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert len(waits) == 2
    assert waits[0] >= 0.1
    assert waits[1] >= 0.2


STOPS = {
    "401": (loopback.refuse(401, message=f"wrong key {KEY}"), AuthenticationError, "LOOPBACK_KEY"),
    "403": (loopback.refuse(403), AuthenticationError, "LOOPBACK_KEY"),
    "quota": (loopback.refuse(429, "insufficient_quota", retry_after="1"), OutOfQuotaError, "kept"),
    "402": (loopback.refuse(402), OutOfQuotaError, "kept"),
}


@pytest.mark.parametrize("name", speeds.cases(STOPS, ("401", "quota")))
def test_what_stops_a_run_keeps_what_was_paid_and_goes_on_later(name, ask, tmp_path, capfd, server):
    stop, error, words = STOPS[name]
    requests = [question(n) for n in range(30)]

    def script(body, number):
        paid = int(body["messages"][0]["content"].split()[1]) < 10
        return loopback.echo(body, number) if paid else stop

    with pytest.raises(error, match=words) as caught:
        ask(script, requests, service={"concurrency": 4})
    seen = len(server.bodies)
    assert kept(tmp_path) == 10
    assert seen <= 10 + 4
    told = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert KEY not in told
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.slow
def test_after_a_stop_only_the_rest_is_asked(tmp_path):
    requests = [question(n) for n in range(6)]
    quota = True

    def script(body, number):
        stops = quota and body["messages"][0]["content"] == "question 3"
        return loopback.refuse(429, "insufficient_quota") if stops else loopback.echo(body, number)

    with loopback.Loopback(script) as server:
        service = Service(base_url=server.url, key_variable="", concurrency=1)
        path = tmp_path / "replies.sqlite"
        client = Client(service, Cache(path), title="t", progress=False)
        with client, pytest.raises(OutOfQuotaError):
            client.ask(requests)
        quota = False
        with Client(service, Cache(path), title="t", progress=False) as client:
            found = client.ask(requests)
    assert [each.cached for each in found] == [True] * 3 + [False] * 3
    assert len(server.bodies) == 7
    assert server.keys == ["Bearer none"] * 7


def test_no_key_in_the_environment(server, tmp_path, monkeypatch):
    for key in ("", " ", "sk-é0123", "two words"):
        monkeypatch.setenv("LOOPBACK_KEY", key)
        client = Client(Service(server.url, "LOOPBACK_KEY"), Cache(tmp_path / "c"), title="t")
        server.forget(loopback.echo)
        with client, pytest.raises(AuthenticationError, match="LOOPBACK_KEY") as caught:
            client.ask([question()])
        assert key.strip() not in str(caught.value) or not key.strip()
        assert not server.bodies


@pytest.mark.parametrize(
    "address",
    ["http://user:secret@host/v1", "http://host/v1?key=secret", "ftp://host", "host/v1", "http://"],
)
def test_an_address_holds_no_secret(address, monkeypatch):
    with pytest.raises(ConfigError) as caught:
        Service(base_url=address)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(ConfigError):
        Service().address()


def test_limit_and_budget_stop_cleanly(ask, tmp_path, server):
    requests = [question(n, max_tokens=5) for n in range(10)]
    with pytest.raises(OutOfBudgetError, match="limit of 3"):
        ask(loopback.echo, requests, limit=3)
    assert (len(server.bodies), kept(tmp_path)) == (3, 3)
    found = ask(loopback.echo, requests[:5], limit=2)
    assert [each.cached for each in found] == [True] * 3 + [False] * 2
    prices = Prices.of([("m", 1000.0, 1000.0, 0.0)])  # 0.015 a reply of 10 + 5 tokens
    with pytest.raises(OutOfBudgetError, match="budget_usd 0.05"):
        ask(loopback.echo, requests, prices=prices, budget_usd=0.05)
    assert 1 <= len(server.bodies) <= 3
    assert kept(tmp_path) == 5 + len(server.bodies)
    with pytest.raises(ConfigError, match="price of 'm'"):
        ask(loopback.echo, requests, budget_usd=1.0)
    assert not server.bodies


@pytest.mark.slow
def test_attempts_that_may_have_been_paid_for_count_against_the_budget(ask, server):
    prices = Prices.of([("m", 0.0, 1000.0, 0.0)])
    request = question(max_tokens=100)  # 0.1 at most
    with pytest.raises(OutOfBudgetError):
        ask(
            lambda body, number: HTML,
            [request, question(1, max_tokens=100)],
            prices=prices,
            budget_usd=0.35,
            service={"concurrency": 1},
        )
    assert len(server.bodies) == 3


def test_a_full_disk_is_a_clear_error(ask, tmp_path, monkeypatch, server):
    opened = Cache._begin

    def begin(self):
        opened(self)
        pages = self._base.execute("PRAGMA page_count").fetchone()[0]
        self._base.execute(f"PRAGMA max_page_count = {pages + 3}")

    monkeypatch.setattr(Cache, "_begin", begin)
    long = "x" * 2000
    requests = [question(n) for n in range(40)]
    with pytest.raises(CacheError, match="disk is full") as caught:
        ask(lambda body, number: loopback.say(long), requests, service={"concurrency": 2})
    assert "replies.sqlite" in str(caught.value)
    monkeypatch.undo()
    paid = kept(tmp_path)
    assert 1 <= paid <= len(server.bodies) <= paid + 2
    monkeypatch.setenv("LOOPBACK_KEY", KEY)
    found = ask(lambda body, number: loopback.say(long), requests)
    assert sum(each.cached for each in found) == paid
    assert len(server.bodies) == 40 - paid


def test_a_file_that_is_no_cache(tmp_path):
    path = tmp_path / "replies.sqlite"
    path.write_text("no database " * 100)
    with pytest.raises(CacheError, match="cannot be used"):
        Cache(path)
    path.unlink()
    with Cache(path):
        pass
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 99")
    with pytest.raises(CacheError, match="version 99"):
        Cache(path)


KILLED = """
import sys
from vsfa_jax.api import Cache, Client, Service, chat
url, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
asked = [chat(model="m", messages=[{"role": "user", "content": str(n)}]) for n in range(count)]
service = Service(base_url=url, key_variable="", concurrency=8)
with Client(service, Cache(path), title="t", progress=False) as client:
    print(sum(reply.text == f"you said: {n}" for n, reply in enumerate(client.ask(asked))))
"""


def start(server, path, count):
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, server.url, str(path), str(count)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rows(path):
    if not path.exists():
        return 0
    base = sqlite3.connect(path, timeout=30)
    try:
        return base.execute("SELECT count(*) FROM replies").fetchone()[0]
    except sqlite3.OperationalError:  # the table is not made yet
        return 0
    finally:
        base.close()


@pytest.mark.slow
def test_killed_with_9_no_paid_reply_is_lost_and_none_is_asked_twice(tmp_path):
    path, count, first = tmp_path / "replies.sqlite", 60, 40
    held = True

    def script(body, number):
        if held and int(body["messages"][0]["content"]) >= first:
            return loopback.Answer(b"{}", delay_s=3600)
        return loopback.echo(body, number)

    with loopback.Loopback(script) as server:
        process = start(server, path, count)
        wait_for(lambda: rows(path) == first)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(server.answered) == first
        held = False
        process = start(server, path, count)
        assert process.communicate()[0].strip() == str(count)
        asked = [body["messages"][0]["content"] for body in server.answered]
    assert sorted(asked, key=int) == [str(n) for n in range(count)]


@pytest.mark.slow
def test_killed_at_any_time_only_what_was_under_way_may_be_asked_again(tmp_path):
    path, count, kills = tmp_path / "replies.sqlite", 400, 8

    def script(body, number):
        return loopback.Answer(loopback.echo(body, number).body, delay_s=0.03)

    with loopback.Loopback(script) as server:
        for kill in range(kills):
            process = start(server, path, count)
            wait_for(lambda kill=kill: rows(path) >= 40 * (kill + 1) + kill)
            before = rows(path)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert rows(path) >= before
        done = start(server, path, count)
        assert done.communicate()[0].strip() == str(count)
        assert count <= len(server.answered) <= count + kills * 8
    with Cache(path) as cache:
        assert len(cache) == count


def test_many_at_a_time_each_has_its_own_reply(ask, server):
    faults = [loopback.refuse(500), HTML, loopback.Answer(drop=True), loopback.as_json({})]

    def script(body, number):
        which = int(body["messages"][0]["content"].split()[1])
        return faults[which % 4] if number < which % 3 else loopback.echo(body, number)

    found = ask(script, [question(n) for n in range(60)])
    assert [each.text for each in found] == [f"you said: question {n}" for n in range(60)]
    assert len(server.bodies) == 60 + 20 * (1 + 2)
    assert 2 <= server.most <= 16
