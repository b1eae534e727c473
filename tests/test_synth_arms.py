"""Arms: what is equal between them, what is not, and who is in which split."""

from __future__ import annotations

import collections
import dataclasses
import random
from typing import Any

import pytest
from synth_rows import pair, settings

from vsfa_jax.core.errors import DataError
from vsfa_jax.synth import balance, tokens
from vsfa_jax.synth.arms import arrange, choose_groups, in_words_of, permute
from vsfa_jax.synth.rows import Pair, Slot
from vsfa_jax.synth.settings import ARMS, Arms

KINDS = ("object", "count", "colour")
words = tokens.counter("words")


def make_pairs(groups: int = 12, seed: int = 3, neutral_longer: float = 1.0) -> list[Pair]:
    """Threat, neutral and refusal pairs of uneven numbers and lengths."""
    rng = random.Random(seed)
    made = []
    for group in range(groups):
        for number in range(5):
            for kind in KINDS:
                for side, factor in (("threat", 1.0), ("neutral", neutral_longer)):
                    if rng.random() < 0.1:
                        continue  # a filter took it
                    length = max(1, round(rng.randint(3, 30) * factor))
                    place = f"g{group}{side}"
                    made.append(
                        pair(
                            f"{place}:{number}:{kind}",
                            group=f"g{group}",
                            side=side,
                            answer=" ".join(["word"] * length),
                        )
                    )
            for index in range(4):
                id = f"g{group}threat:{number}:refusal:{index}"
                made.append(pair(id, group=f"g{group}", side="refusal", answer="I will not."))
    return made


def arrange_all(pairs: list[Pair], **changed: Any) -> list[Slot]:
    return arrange(pairs, dataclasses.replace(settings().arms, **changed), 0, words)


def test_every_arm_has_as_many_questions_of_each_kind_and_as_many_tokens() -> None:
    slots = arrange_all(make_pairs(neutral_longer=1.04))
    measured = balance.measure(slots, words, "words")
    assert balance.unbalanced(measured, 0.01) == []
    assert set(measured["splits"]) == {"train", "validation"}
    for arms in measured["splits"].values():
        assert list(arms) == list(ARMS)
        assert len({held["rows"] for held in arms.values()}) == 1
        for arm in set(ARMS) - {"refusal"}:
            assert arms[arm]["kinds"] == arms["threat"]["kinds"]
            assert abs(arms[arm]["difference"]) <= 0.01
        assert arms["refusal"]["difference"] != 0.0  # reported, not forced
        assert arms["text_only"]["with_image"] == 0
        assert abs(arms["mixed"]["with_image"] * 2 - arms["mixed"]["rows"]) <= 1
    assert "| refusal |" in balance.table(measured)


def test_choosing_among_spare_questions_is_what_makes_them_equal() -> None:
    pairs = make_pairs(neutral_longer=1.04)
    with pytest.raises(DataError, match=r"wanted a difference of at most 1.0%"):
        arrange_all(pairs, spare=0.0, names=("threat", "neutral"), token_difference=0.01)


def test_what_cannot_be_equal_is_refused() -> None:
    with pytest.raises(DataError, match="neutral answers have .* tokens and threat answers"):
        arrange_all(make_pairs(neutral_longer=3.0))


def test_an_unbalanced_table_is_told_from_a_balanced_one() -> None:
    slots = arrange_all(make_pairs())
    measured = balance.measure(slots, words, "words")
    longer = [
        dataclasses.replace(slot, answer=slot.answer + " and more" * 9, kind="scene")
        if slot.arm == "neutral"
        else slot
        for slot in slots
    ]
    assert balance.unbalanced(measured, 0.01) == []
    wrong = balance.unbalanced(balance.measure(longer[:-1], words, "words"), 0.01)
    assert len([line for line in wrong if "kinds" in line]) == 2
    assert len([line for line in wrong if "tokens" in line]) == 2
    assert len([line for line in wrong if "rows" in line]) == 1


def test_no_group_is_in_two_splits_and_sides_stay_together() -> None:
    pairs = make_pairs()
    group_of = {pair.id: pair.group for pair in pairs}
    splits = collections.defaultdict(set)
    for slot in arrange_all(pairs, validation_share=0.25):
        splits[group_of[slot.pair]].add(slot.split)
    assert all(len(found) == 1 for found in splits.values())
    assert sum(found == {"validation"} for found in splits.values()) == 3


def test_a_group_that_is_added_moves_no_other() -> None:
    names = [f"g{number}" for number in range(40)]
    before = choose_groups(names, 0.25, 0)
    after = choose_groups([*names, "another"], 0.25, 0)
    assert len(before) == 10
    assert len(before - after) <= 1
    assert choose_groups(names, 0.25, 1) != before
    assert choose_groups(names, 0.0, 0) == set()
    with pytest.raises(DataError, match=r"arms\.validation_share"):
        choose_groups(["g"], 0.25, 0)


def test_shuffled_pictures_are_another_concepts() -> None:
    pairs = [pair for pair in make_pairs() if pair.side == "threat"]
    group_of = {pair.picture: pair.group for pair in pairs}
    others = permute(pairs, 0, "train")
    assert sorted(others) == sorted(others.values())
    assert all(group_of[one] != group_of[other] for one, other in others.items())


def test_a_group_of_over_half_still_gets_no_own_picture() -> None:
    pairs = [pair(f"g{min(number, 2)}:{number}:object") for number in range(9)]
    others = permute(pairs, 0, "train")
    assert sorted(others) == sorted(others.values())
    assert all(one != other for one, other in others.items())
    with pytest.raises(DataError, match="shuffled wants two or more"):
        permute(pairs[:1], 0, "train")


def test_shuffled_keeps_answers_and_mixed_halves_every_kind() -> None:
    slots = arrange_all(make_pairs())
    by_arm = collections.defaultdict(dict)
    for slot in slots:
        by_arm[slot.arm][slot.pair] = slot
    for id, slot in by_arm["threat"].items():
        shuffled = by_arm["shuffled"][id]
        assert (shuffled.question, shuffled.answer) == (slot.question, slot.answer)
        assert shuffled.picture != slot.picture
        told = by_arm["text_only"][id]
        assert told.picture == ""
        assert (
            told.question == f"The picture is described so: A table with a knife.\n{slot.question}"
        )
        assert by_arm["mixed"][id] in (
            dataclasses.replace(slot, id=f"mixed/{id}", arm="mixed"),
            dataclasses.replace(told, id=f"mixed/{id}", arm="mixed"),
        )
    for kind in KINDS:
        for split in ("train", "validation"):
            here = [s for s in by_arm["mixed"].values() if (s.kind, s.split) == (kind, split)]
            assert abs(sum(bool(s.picture) for s in here) * 2 - len(here)) <= 1


def test_braces_in_a_description_are_text() -> None:
    one = pair("g:0:object", question="A {description}?", description="A {question} mark.")
    assert in_words_of(one, "{description} {question}") == "A {question} mark. A {description}?"


def test_few_refusals_make_every_arm_smaller() -> None:
    pairs = [p for p in make_pairs() if p.side != "refusal" or p.id.endswith(":0")]
    slots = arrange_all(pairs)
    counts = collections.Counter((slot.split, slot.arm) for slot in slots)
    for split in ("train", "validation"):
        assert len({counts[split, arm] for arm in ARMS}) == 1
    train = [p for p in pairs if p.side == "refusal"]
    assert sum(counts[split, "refusal"] for split in ("train", "validation")) == len(train)


def test_the_seed_decides_and_nothing_else() -> None:
    pairs = make_pairs()
    first = arrange(pairs, settings().arms, 0, words)
    assert arrange(pairs[::-1], settings().arms, 0, words) == first
    assert arrange(pairs, settings().arms, 1, words) != first


def test_no_description_no_text_only() -> None:
    pairs = [dataclasses.replace(pair, description="") for pair in make_pairs()]
    with pytest.raises(DataError, match="no threat question is left"):
        arrange_all(pairs)
    names: Any = ("threat", "neutral", "shuffled")
    assert {slot.arm for slot in arrange_all(pairs, names=names)} == set(names)


@pytest.mark.parametrize("side", ["threat", "neutral", "refusal"])
def test_an_arm_without_questions_is_named(side: str) -> None:
    with pytest.raises(DataError, match=f"arms: no {side} question is left"):
        arrange_all([pair for pair in make_pairs() if pair.side != side])


def test_tokens_are_counted_by_the_named_tokenizer() -> None:
    assert words("a red  knife") == 3
    assert tokens.counter("tinyworld/coupled")("a red knife , top left") == 6
    assert isinstance(settings().arms, Arms)
    with pytest.raises(DataError, match="arms.tokenizer: no file"):
        tokens.counter("nowhere")
