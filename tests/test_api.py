"""Requests, prices, replies and the cache of the api room, and a client without faults."""

from __future__ import annotations

import asyncio
import io

import loopback
import pytest

from vsfa_jax.api import (
    Cache,
    Client,
    Prices,
    Reply,
    Service,
    Usage,
    chat,
    image_part,
    parse_json,
    picture,
    text_part,
)
from vsfa_jax.api.progress import Progress
from vsfa_jax.api.replies import read
from vsfa_jax.core.errors import ConfigError, ImageError
from vsfa_jax.perf import api as perf


def question(text="hello", **changed):
    messages = [{"role": "user", "content": text}]
    return chat(**{"model": "m", "messages": messages} | changed)


def test_a_key_holds_all_that_an_answer_follows_from():
    same = chat(messages=[{"content": "hello", "role": "user"}], model="m")
    assert same == question()
    assert same.key == question().key
    changed = [
        question("hello "),
        question(model="n"),
        question(seed=1),
        question(temperature=0.5),
        question(max_tokens=9),
        question(schema={"type": "object"}),
        question(extra={"top_p": 0.5}),
        picture(model="m", prompt="hello"),
    ]
    keys = {request.key for request in [same, *changed]}
    assert len(keys) == len(changed) + 1
    assert same.key_at("http://a") != same.key_at("http://b")
    # of what is paid for already: changes only with a reason that is worth paying again for
    assert same.key == GOLDEN


GOLDEN = "f9938ada470638c0741796b5d2fa578dbacf003d3f3c8efc7794a3ca7a428a2b"


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(ConfigError, match="sent as JSON"):
        question("\ud800")
    with pytest.raises(ConfigError, match="sent as JSON"):
        question(extra={"x": float("nan")})
    with pytest.raises(ConfigError, match="schema"):
        question(schema={"type": "objekt"})


def test_none_is_not_sent():
    assert set(question(temperature=None, seed=None, max_tokens=None).fields) == {
        "model",
        "messages",
    }


def test_images_go_as_data_urls():
    part = image_part(loopback.png())
    assert part["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    for wrong in (b"", b"<svg/>", loopback.png()[:40]):
        with pytest.raises(ImageError):
            image_part(wrong)


def test_prices_are_never_made_up():
    prices = Prices.of([("m", 2.0, 10.0, 0.0), ("p", 0.0, 0.0, 0.04)])
    assert prices.usd(question(), Usage(1000, 100)) == pytest.approx(0.003)
    assert prices.usd(question(), None) is None
    assert prices.usd(question(model="other"), Usage(1, 1)) is None
    assert prices.estimate(question(model="other")) is None
    assert prices.usd(picture(model="p", prompt="x"), None) == pytest.approx(0.04)
    assert prices.estimate(picture(model="p", prompt="x")) == pytest.approx(0.04)
    parts = [text_part("x" * 300), image_part(loopback.png())]
    few, many = (prices.estimate(question(text)) for text in ("x" * 300, parts))
    assert few >= 100 * 2e-6 + 512 * 10e-6
    assert many >= few + 1000 * 2e-6
    for wrong in ([("m", -1.0, 0.0, 0.0)], [("m", 1.0, 1.0, 0.0)] * 2, [("m", float("nan"), 0, 0)]):
        with pytest.raises(ConfigError, match="price of 'm'"):
            Prices.of(wrong)


def test_json_and_nothing_else():
    assert parse_json(' {"a": [1, 2.5, null]} ') == {"a": [1, 2.5, None]}
    for wrong in ('{"a": 1} x', "{'a': 1}", "Infinity", '{"a":1,"a":1}', '"\\ud800"', "[" * 9999):
        with pytest.raises(ValueError):
            parse_json(wrong)
    with pytest.raises(ValueError, match=r"\$\.a"):
        parse_json('{"a": "x"}', {"properties": {"a": {"type": "number"}}})


def test_a_service_that_counts_no_tokens():
    reply = read(question(), loopback.say("hello", usage=None).body)
    assert reply == Reply(text="hello")
    for usage in ({"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": True}, [1]):
        assert read(question(), loopback.say("hello", usage=usage).body).usage is None


def test_asked_once_however_often_and_by_whom(tmp_path):
    requests = [question(text) for text in ("a", "b", "a", "c")]
    prices = Prices.of([("m", 1.0, 2.0, 0.0)])
    with loopback.Loopback() as server:
        service = Service(base_url=server.url, key_variable="")
        with Client(
            service, Cache(tmp_path / "c"), title="t", prices=prices, progress=False
        ) as client:
            before = client.price(requests)
            first = client.ask(requests)
            assert (before.requests, before.cached, client.price(requests).cached) == (3, 0, 3)
            assert 0 < client.usd <= before.usd
            assert client.usd == pytest.approx(3 * 20e-6)
            assert client.asked == 3
            assert client.price(requests).usd == 0
        with Client(service, Cache(tmp_path / "c"), title="t", progress=False) as client:
            second = client.ask(requests)
            assert client.price([question(model="n")]).usd is None
    assert [reply.text for reply in first] == [f"you said: {text}" for text in "abac"]
    assert [reply.text for reply in second] == [reply.text for reply in first]
    assert [reply.usd for reply in second] == [20e-6] * 4
    assert [reply.cached for reply in [*first, *second]] == [False] * 4 + [True] * 4
    assert len(server.bodies) == 3


def test_an_environments_address_and_key(tmp_path, monkeypatch):
    schema = {"type": "object", "required": ["a"]}
    with loopback.Loopback(lambda body, number: loopback.say('{"a": 1}')) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        with Client(Service(), Cache(tmp_path / "c"), title="t", progress=False) as client:
            (reply,) = client.ask([question(schema=schema)])
            assert client.ask([]) == []
    assert reply.value == {"a": 1}
    assert server.keys == ["Bearer sk-1"]
    assert server.bodies[0]["response_format"]["json_schema"]["schema"] == schema


def test_where_a_loop_runs_already(tmp_path):
    async def notebook():
        with Client(service, Cache(tmp_path / "c"), title="t", progress=False) as client:
            return client.ask([question("a")])[0].text

    with loopback.Loopback() as server:
        service = Service(base_url=server.url, key_variable="")
        assert asyncio.run(notebook()) == "you said: a"


def test_pictures_are_kept_too(tmp_path):
    with loopback.Loopback(lambda body, number: loopback.show()) as server:
        service = Service(base_url=server.url, key_variable="")
        for cached in (False, True):
            with Client(service, Cache(tmp_path / "c"), title="t", progress=False) as client:
                (reply,) = client.ask([picture(model="p", prompt="a red square", seed=3)])
            assert (reply.image, reply.text, reply.cached) == (loopback.png(), "", cached)
    assert len(server.bodies) == 1


def test_progress_says_rate_cost_and_time_left():
    stream = io.StringIO()
    progress = Progress("questions", 4, stream=stream, line_every_s=0.0)
    progress.update(0.25, failed=False)
    progress.update(None, failed=True)
    first, second = stream.getvalue().splitlines()
    assert first.startswith("questions  1/4  ")
    assert "$0.2500 so far, about $1.0000 in all" in first
    assert "s left" in first
    assert "cost of 1 unknown" in second
    assert "1 failed" in second


@pytest.mark.slow
def test_the_benchmark_measures_what_it_says():
    found = perf.measure(requests=12, concurrency=4, delay_s=0.1)
    assert found["least_s"] == pytest.approx(0.3)
    assert found["seconds"] >= 0.3
    assert found["seconds_of_the_kept"] < 0.3
