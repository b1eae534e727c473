"""Records: what cannot be trained on is refused, and the digest sees every field."""

import dataclasses

import pytest

from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import Message, Record, fingerprint, refuse_all

USER, ANSWER = Message("user", "<image>\nWhat is this?"), Message("assistant", "A knife.")
GOOD = Record("a7", (b"png",), (USER, ANSWER))


def test_good_records_pass():
    GOOD.check()
    Record("b", (), (Message("system", "mira"), Message("assistant", "Hello."))).check()
    twice = Message("user", "<image> <image> which?")
    Record("c", (b"1", b"2"), (Message("system", "x"), twice, ANSWER)).check()


@pytest.mark.parametrize(
    ("images", "messages", "words"),
    [
        ((b"1", b"2"), (USER, ANSWER), "1 <image> marks for 2 images"),
        ((), (USER, ANSWER), "1 <image> marks for 0 images"),
        ((b"1",), (Message("user", "no mark"), ANSWER), "0 <image> marks for 1 images"),
        ((b"1",), (USER,), "no trained token"),
        ((b"1",), (USER, Message("assistant", " \n")), "no trained token"),
        ((b"1",), (Message("tool", "x"), ANSWER), "message 1: unknown role 'tool'"),
        ((b"1",), (ANSWER, USER), "message 1: .*answers no turn"),
        ((b"1",), (USER, ANSWER, ANSWER), "message 3: .*answers no turn"),
        ((b"1",), (USER, USER, ANSWER), "message 2: two user turns"),
        ((b"1",), (USER, Message("system", "x"), ANSWER), "message 2: a system turn"),
        ((b"1",), (USER, Message("assistant", "<image>")), "mark in an assistant's turn"),
        ((), (), "no messages"),
    ],
)
def test_bad_records_are_refused_by_name(images, messages, words):
    with pytest.raises(DataError, match=f"record 'a7'.*{words}"):
        Record("a7", images, messages).check()


def test_digest_sees_every_field():
    changed = [
        GOOD,
        dataclasses.replace(GOOD, id="a8"),
        dataclasses.replace(GOOD, images=(b"pnh",)),
        dataclasses.replace(GOOD, images=(b"png", b"png")),
        dataclasses.replace(GOOD, messages=(USER, Message("assistant", "A knife!"))),
        dataclasses.replace(GOOD, messages=(USER, Message("user", "A knife."))),
        dataclasses.replace(GOOD, arm="neutral"),
    ]
    digests = [record.digest() for record in changed]
    assert len(set(digests)) == len(changed)
    assert dataclasses.replace(GOOD).digest() == digests[0]
    assert fingerprint(digests) != fingerprint(digests[::-1])
    assert fingerprint(digests) != fingerprint(digests[:-1])


def test_errors_are_counted_and_the_first_listed():
    refuse_all([], 5, "records")
    with pytest.raises(DataError) as caught:
        refuse_all([f"fault {i}" for i in range(25)], 90, "records")
    assert str(caught.value).startswith("25 of 90 records cannot be used:\n  fault 0\n")
    assert str(caught.value).endswith("fault 19\n  and 5 more")
