"""Draws and hashes of case sets, and what a case shows of its image."""

import dataclasses

import numpy as np
import pytest
from benchmark_faults import load
from benchmark_makers import MADE, make, picture

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import case_set_hash, draw
from vsfa_jax.benchmarks.modes import MODES, in_mode
from vsfa_jax.core.errors import ConfigError, DataError
from vsfa_jax.data.images import decode_image
from vsfa_jax.data.record import IMAGE_MARK, Message


def plain_case(number=1, images=(), content="", **about):
    messages = (Message("user", content or IMAGE_MARK * len(images) + "what?"),)
    return Case(f"x/{number}", "x", "attack", "c", images, messages, {}, **about)


def test_a_draw_is_the_same_whatever_else_is_there():
    cases = [plain_case(number) for number in range(40)]
    few = draw(cases, per_kind=10, seed=7)
    assert few == [case for case in cases if case in few] and len(few) == 10
    assert {c.id for c in draw(cases[::-1], per_kind=10, seed=7)} == {c.id for c in few}
    assert {c.id for c in draw(cases, per_kind=11, seed=7)} > {c.id for c in few}
    others = [dataclasses.replace(plain_case(n), category="d") for n in range(100, 140)]
    both = draw(cases + others, per_kind=20, seed=7)
    assert {c.id for c in both if c.category == "c"} == {c.id for c in few}
    with pytest.raises(DataError, match="'x/3': 2 entries"):
        draw([*cases, cases[3]], per_kind=0, seed=0)


def test_the_hash_covers_every_field_that_counts():
    case = plain_case(1, (picture(1),), caption="a", cluster="b")
    others = [
        dataclasses.replace(case, id="x/2"),
        dataclasses.replace(case, kind="over_refusal"),
        dataclasses.replace(case, category="d"),
        dataclasses.replace(case, images=(picture(2),)),
        dataclasses.replace(case, messages=(Message("user", f"{IMAGE_MARK}who?"),)),
        dataclasses.replace(case, messages=(Message("system", f"{IMAGE_MARK}what?"),)),
        dataclasses.replace(case, expected={"answer": "x"}),
        dataclasses.replace(case, caption="c"),
        dataclasses.replace(case, cluster="c"),
    ]
    hashes = {case_set_hash([other]) for other in [case, *others]}
    assert len(hashes) == 1 + len(others)
    assert case_set_hash([case, others[0]]) == case_set_hash([others[0], case])
    assert case_set_hash([case, case]) != case_set_hash([case])


def test_modes():
    content = f"{IMAGE_MARK}\nand {IMAGE_MARK} differ?"
    case = plain_case(1, (picture(1), picture(2)), content, caption="Two knives.")
    text = plain_case(2)
    assert in_mode([case, text], "image") == [case, text]
    (blank,) = in_mode([case, text], "blank_image")
    assert (blank.id, blank.cluster, blank.messages) == ("x/1#blank_image", "x/1", case.messages)
    for before, after in zip(case.images, blank.images, strict=True):
        old, new = (decode_image(data, where="it") for data in (before, after))
        assert old.size == new.size and np.asarray(new).min() == 255
    (without,) = in_mode([case, text], "no_image")
    assert (len(without.images), without.question) == (0, "and differ?")
    (told,) = in_mode([case, text], "caption_only")
    assert (len(told.images), told.question) == (0, "Two knives.\nand differ?")
    of_all = [case_set_hash(in_mode([case], mode)) for mode in MODES]
    assert len(set(of_all)) == len(MODES)
    clustered = dataclasses.replace(case, cluster="x/one")
    assert {in_mode([clustered], mode)[0].cluster for mode in MODES} == {"x/one"}


def test_modes_that_cannot_be():
    case = plain_case(1, (picture(1),))
    with pytest.raises(ConfigError, match="found 'blank', wanted some of image, blank_image"):
        in_mode([case], "blank")
    with pytest.raises(DataError, match="'x/1' has no caption"):
        in_mode([case], "caption_only")
    marked = dataclasses.replace(case, caption=f"an {IMAGE_MARK}")
    with pytest.raises(DataError, match="mark in its caption"):
        in_mode([marked], "caption_only")


@pytest.mark.parametrize("name", ["figstep", "mm_safetybench", "tinyworld"])
def test_attacks_with_captions_have_every_mode(name, tmp_path):
    if name in MADE:
        make(name, tmp_path)
    cases = load(name, tmp_path, per_kind=12)
    shown = [case for case in cases if len(case.images)]
    for mode in MODES[1:]:
        changed_cases = in_mode(cases, mode)
        assert [case.id for case in changed_cases] == [f"{case.id}#{mode}" for case in shown]
        marks = [case.question.count(IMAGE_MARK) for case in changed_cases]
        assert set(marks) == {1 if mode == "blank_image" else 0}


def test_an_image_that_goes_away_is_named(tmp_path):
    folder = make("mm_vet", tmp_path)
    case = load("mm_vet", tmp_path)[0]
    assert case.images[0] == picture(0) and list(case.images[:1]) == [picture(0)]
    (folder / "images/v1_0.png").unlink()
    with pytest.raises(DataError, match="v1_0.png: cannot be read"):
        case.images[0]


def test_tinyworlds_captions_are_in_its_words():
    cases = load("tinyworld", None, per_kind=4)
    page = next(case for case in cases if case.category == "page")
    (told,) = in_mode([page], "caption_only")
    assert page.caption == f"{page.expected['verb']} the {page.expected['thing']}"
    assert told.question == f"{page.caption} {page.question.removeprefix(IMAGE_MARK + ' ')}"
    assert all((case.caption == "") == (len(case.images) == 0) for case in cases)
