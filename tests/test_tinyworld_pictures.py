"""Scenes and pages as pixels: size, what tells them apart, and the splits they belong to."""

import io
import itertools
import random

import numpy as np
from PIL import Image

from vsfa_jax.tinyworld import pages, scene
from vsfa_jax.tinyworld.pages import FORBIDDEN, HARMLESS, THINGS, VERBS, Page, Request
from vsfa_jax.tinyworld.scene import COLOURS, SPLITS, Scene, Thing
from vsfa_jax.tinyworld.shapes import SHAPES


def pixels(png: bytes) -> np.ndarray:
    """[64, 64, 3] levels."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "RGB" and image.size == (scene.SIZE, scene.SIZE)
        return np.asarray(image).astype(int)


def alone(concept: str, colour: str = "red", size: float = 24, background: str = "gray") -> Scene:
    return Scene((Thing(concept, colour, 0, 16, 16, size),), background)


def test_every_concept_fills_its_box_and_looks_like_no_other():
    empty = pixels(Scene((), "gray").draw())
    drawn = {concept: pixels(alone(concept).draw()) for concept in SHAPES}
    for concept, image in drawn.items():
        rows, columns = np.nonzero((image != empty).any(-1))
        assert max(np.ptp(rows), np.ptp(columns)) >= 20, concept
        assert min(np.ptp(rows), np.ptp(columns)) >= 12, concept
        assert rows.min() >= 3 and columns.min() >= 3, concept  # within its box
        assert rows.max() <= 29 and columns.max() <= 29, concept
    for one, two in itertools.combinations(drawn, 2):
        differing = (np.abs(drawn[one] - drawn[two]).max(-1) > 60).sum()
        assert differing > 70, (one, two, differing)


def test_colours_and_backgrounds_are_far_apart():
    every = {**COLOURS, **scene.BACKGROUNDS}
    for one, two in itertools.combinations(every, 2):
        distance = np.abs(np.subtract(every[one], every[two])).max()
        assert distance >= (40 if one in scene.BACKGROUNDS else 50), (one, two)


def test_things_stay_within_their_quadrants_at_continuous_places_and_sizes():
    rng, sizes = random.Random(0), []
    for number in range(300):
        shown = scene.sample(rng, "train", threat=number % 2 == 0)
        assert 1 <= len(shown.things) <= 4
        assert [t.quadrant for t in shown.things] == sorted({t.quadrant for t in shown.things})
        assert shown.has_threat == (number % 2 == 0)
        for thing in shown.things:
            row, column = divmod(thing.quadrant, 2)
            assert (
                column * 32
                <= thing.x - thing.size / 2
                < thing.x + thing.size / 2
                <= column * 32 + 32
            )
            assert row * 32 <= thing.y - thing.size / 2 < thing.y + thing.size / 2 <= row * 32 + 32
            sizes.append(thing.size)
    assert len(set(sizes)) == len(sizes) and 18 <= min(sizes) < 19 and 27 < max(sizes) <= 28


def test_splits_share_no_scene():
    rng, seen = random.Random(0), {split: set() for split in SPLITS}
    for split, number in itertools.product(SPLITS, range(1500)):
        shown = scene.sample(rng, split, threat=number % 2 == 0)
        assert shown.split == split
        seen[split].add(tuple((t.concept, t.colour, t.place) for t in shown.things))
    for one, two in itertools.combinations(SPLITS, 2):
        assert not seen[one] & seen[two]


def test_a_scene_keeps_its_split_when_it_is_only_moved_or_scaled():
    here, there = alone("cup", size=14), alone("cup", size=26, background="sand")
    assert here.split == there.split
    counts = [
        alone(concept, colour).split for concept in SHAPES for colour in COLOURS
    ]  # about 8 : 1 : 1 of 192
    assert 130 < counts.count("train") < 176 and counts.count("test") >= 8


def test_a_quarter_of_the_pairs_of_every_verb_and_thing_is_held_out():
    held = {(v, t) for v in VERBS for t in THINGS if Request(v, t).is_held_out}
    assert len(held) == len(VERBS) * len(THINGS) // 4
    assert all(sum(v == verb for v, _ in held) == 2 for verb in VERBS)
    assert all(sum(t == thing for _, t in held) == 4 for thing in THINGS)
    rng = random.Random(0)
    for split, forbidden in itertools.product(SPLITS, (True, False)):
        for _ in range(100):
            request = pages.sample_request(rng, split, forbidden)
            assert request.is_forbidden == forbidden
            assert ((request.verb, request.thing) in held) == (split == "test")


def test_pages_of_different_words_differ_in_ink_and_word_lists_are_disjoint():
    assert len(FORBIDDEN) == len(set(HARMLESS)) == len(set(THINGS)) == 8
    assert not FORBIDDEN.keys() & set(HARMLESS)
    assert all(len(word) <= 7 for word in (*VERBS, *THINGS))
    drawn = [
        pixels(Page(Request(verb, thing), 0, 0, 1.0, 0.0, 0.0).draw())
        for verb, thing in [*((v, "door") for v in VERBS), *(("vex", t) for t in THINGS[1:])]
    ]
    for one, two in itertools.combinations(drawn, 2):
        assert (np.abs(one - two).max(-1) > 100).sum() > 80


def test_page_prompts_tell_nothing_of_the_request():
    words = {*VERBS, *THINGS}
    for prompt in (*pages.PAGE_PROMPTS, pages.READ_PROMPT):
        assert not words & set(prompt.split())
