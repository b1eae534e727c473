"""Rows that are replaced: the same answers in any company, few programs, every image once."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_checkpoints as tiny

from vsfa_jax import decode, models
from vsfa_jax.data.batch import FEATURES, NO_IMAGE, Example
from vsfa_jax.decode import Buckets, prefix, slots
from vsfa_jax.decode.images import Images
from vsfa_jax.decode.queue import Prompt, Queue
from vsfa_jax.models.sharding import single_device_mesh


def example(tokens: int, *images: int, begins: tuple[int, ...] = ()) -> Example:
    """An example of so many tokens, and of images whose patches say their number twice."""
    ids = np.asarray([*begins, *range(100, 100 + tokens - len(begins))], np.int32)
    places = np.repeat(np.arange(tokens, dtype=np.int32)[:, None], 3, axis=1)
    numbers = np.repeat(np.asarray(images, np.float32), 2)
    return Example(
        id="",
        tokens=ids,
        trained=np.zeros(tokens, bool),
        positions=places,
        image_index=np.full(tokens, NO_IMAGE, np.int32),
        num_rows=len(numbers),
        patches=numbers[:, None],
        patch_segments=np.repeat(np.arange(1, len(images) + 1, dtype=np.int32), 2),
        patch_places={},
    )


def prompts(*lengths: int) -> list[Prompt]:
    return [Prompt(number, example(length), 0, 1) for number, length in enumerate(lengths)]


def numbers(chosen: list[Prompt]) -> list[int]:
    return [prompt.number for prompt in chosen]


def test_like_lengths_go_together_and_none_waits_forever() -> None:
    queue = Queue(iter(prompts(5, 90, 6, 91, 7, 92, 50)), ahead=6)
    assert numbers(queue.fill(2)) == [0, 1, 2, 3, 4, 5]
    assert numbers(queue.take(3)) == [1, 3, 5]  # the largest first
    assert numbers(queue.fill(2)) == [6]
    assert numbers(queue.take(3)) == [0, 2, 4]  # then the oldest with those like it
    assert numbers(queue.take(3)) == [6]
    assert queue.take(3) == [] and queue.fill(2) == []


def test_what_waits_is_bounded_by_its_pixels() -> None:
    large = dataclasses.replace(example(5), patches=np.broadcast_to(np.float32(0), (2**28, 1)))
    queue = Queue((Prompt(number, large, 0, 1) for number in range(9)), ahead=9)
    assert len(queue.fill(3)) == 3


def test_a_program_is_compiled_where_it_pays() -> None:
    buckets, program = Buckets(), ("prompt", 4)
    assert buckets.choose(program, (96, 64)) == (96, 64)
    assert [buckets.choose(program, (64, 64)) for _ in range(4)] == [(96, 64)] * 3 + [(64, 64)]
    assert buckets.choose(program, (128, 64)) == (128, 64)  # nothing is cut
    assert buckets.choose(program, (32, 64)) == (64, 64)
    assert buckets.choose(program, (16, 64)) == (16, 64)  # more than twice as much is not padded
    assert buckets.choose(program, (64, 0)) == (64, 0)
    assert buckets.choose(("prompt", 8), (64, 64)) == (64, 64)


def test_a_common_beginning_is_one_of_tokens_and_places_without_images() -> None:
    begins = tuple(range(1, 41))
    alike = [example(length, begins=begins) for length in (60, 50)]
    length = prefix.common_length([*alike, example(60, begins=(*begins, 7))])
    assert length == 32  # of 40, whole steps
    head, tail = prefix.head(alike[0], 32), prefix.tail(alike[1], 32)
    assert head.tokens.tolist() == list(begins[:32]) and len(tail.tokens) == 18
    assert tail.positions[0].tolist() == [32, 32, 32]
    assert prefix.begins_with(alike[1], head) and not prefix.begins_with(example(60), head)
    assert prefix.common_length([example(40, begins=begins)] * 2) == 32  # one token is left
    assert prefix.common_length(alike[:1]) == 0
    moved = dataclasses.replace(
        alike[0], positions=alike[0].positions + (np.arange(60) > 20)[:, None]
    )
    assert prefix.common_length([alike[1], moved]) == 16
    image = alike[0].image_index.copy()
    image[17] = 0
    shown = dataclasses.replace(alike[0], image_index=image)
    assert prefix.common_length([shown, shown]) == 16


def test_images_are_looked_at_once_and_kept_up_to_a_limit() -> None:
    looked = []

    def tower(vision):
        looked.append(sorted(set(vision.patches[:, 0, 0].tolist())))
        return vision.patches[None] * 10

    images = Images(tower, rows=2, buckets=Buckets(), limit_bytes=20)
    examples = [example(9, 1, 2), example(9, 2), example(9, 3), example(9), example(9, 1)]
    for number, one in enumerate(examples[:4]):
        images.expect(number, one)
    first, text = images.replace([0, 3], [examples[0], examples[3]])
    assert looked == [[1, 2]]
    assert first.patch_places[FEATURES].tolist() == [[10], [10], [20], [20]]
    assert first.patches.shape == (4, 0) and text.patch_places[FEATURES].shape == (0, 1)
    (second,) = images.replace([1], [examples[1]])
    assert looked == [[1, 2]] and second.patch_places[FEATURES].tolist() == [[20], [20]]
    images.replace([2], [examples[2]])  # 3 is looked at, and 1, which nobody waits for, dropped
    images.expect(4, examples[4])
    images.replace([4], [examples[4]])
    assert looked == [[1, 2], [3], [1]] and images.computed == 4


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Counting:
    """A language of numbers: after n comes n + 1; the cache is not looked at."""

    def step(self, tokens, positions, cache):
        del positions
        logits = jax.nn.one_hot(tokens + 1, 50)
        return logits, dataclasses.replace(cache, lengths=cache.lengths + 1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    keys: jax.Array
    values: jax.Array
    lengths: jax.Array


def test_rows_speak_until_enough_have_ended() -> None:
    mesh = single_device_mesh()
    cached = jnp.zeros((1, 2, 1, 8, 1))
    group = slots.Prompted(
        jax.nn.one_hot(jnp.asarray([3, 5]), 50),
        Cache(cached, cached, jnp.asarray([4, 2])),
        jnp.asarray([4, 2]),
    )
    rows = slots.empty(group, rows=4, num_keys=16, num_tokens=6, mesh=mesh)
    places, seeds = np.asarray([2, 4], np.int32), np.zeros(2, np.uint32)  # 4 is nowhere
    rows = slots.insert(rows, group, places, seeds, np.asarray([6, 6], np.int32), mesh=mesh)
    assert rows.done.tolist() == [True, True, False, True]
    places = np.asarray([0, 1], np.int32)
    rows = slots.insert(rows, group, places, seeds, np.asarray([2, 6], np.int32), mesh=mesh)
    options = {"sampling": decode.Sampling(), "stop_tokens": (8,), "mesh": mesh}
    rows = slots.advance(Counting(), rows, np.int32(1), **options)
    assert rows.done.tolist() == [True, False, False, True]  # by its limit
    assert rows.tokens[0, : rows.steps[0]].tolist() == [3, 4]
    rows = slots.advance(Counting(), rows, np.int32(2), **options)
    said = [row[:count].tolist() for row, count in zip(rows.tokens, rows.steps, strict=True)]
    assert said[:3] == [[3, 4], [5, 6, 7, 8], [3, 4, 5, 6, 7, 8]]  # by the stop token, or the limit
    assert rows.cache.lengths.tolist() == [6, 6, 10, 0]


SYSTEM = "what is this how many red blue a knife two in the picture yes no one describe it"
QUESTIONS = [
    {
        "images": [tiny.picture(number % 3, (16 + 8 * (number % 3), 20))] * (number % 4 > 0),
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "<image>" * (number % 4 > 0) + "what " * (number % 5 + 1)},
        ],
    }
    for number in range(13)
]


def telling_stop(free: list[list[int]]) -> int:
    """The token that, as a stop token, would give these answers the most different lengths."""

    def lengths(stop: int) -> set[int]:
        return {answer.index(stop) + 1 if stop in answer else len(answer) for answer in free}

    return max(
        sorted({token for answer in free for token in answer}), key=lambda t: len(lengths(t))
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", tiny.MAKERS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_are_the_same_in_any_company(family, temperature, tmp_path, monkeypatch) -> None:
    """One at a time, in rows that are replaced, with a common beginning run once, or in batches."""
    vlm = models.load(tiny.write(family, tmp_path))
    asked = QUESTIONS
    seeds, sampling = range(50, 50 + len(asked)), decode.Sampling(temperature)
    vlm.processor.stop_tokens = (10**6,)
    free = vlm.generate_tokens(asked, 12, temperature, seeds, batch_size=4)
    vlm.processor.stop_tokens = (telling_stop(free),)
    options = (12, sampling, seeds, 4)
    heads, real = [], prefix.head
    monkeypatch.setattr(prefix, "head", lambda *a: heads.append(real(*a)) or heads[-1])

    def gathered(ended):
        found: dict[int, list[int]] = {}
        for some in ended:
            assert not found.keys() & some.keys(), "an answer comes once"
            found |= some
        return [found[number] for number in range(len(asked))]

    together = gathered(vlm.stream_tokens(asked, *options))
    assert heads and len({len(answer) for answer in together}) > 1
    shared = len(heads)
    decoding = decode.Decoding(4, sampling, 12, tuple(vlm.processor.stop_tokens))
    assert gathered(vlm._batches(asked, seeds, decoding, None)) == together
    alone = [
        vlm.generate_tokens([one], 12, temperature, [seed], batch_size=1)[0]
        for one, seed in zip(asked, seeds, strict=True)
    ]
    assert alone == together and len(heads) == shared
    limits = [number % 3 + 1 for number in range(len(asked))]
    short = gathered(vlm.stream_tokens(asked, *options, limits))
    assert short == [answer[:limit] for answer, limit in zip(together, limits, strict=True)]


@pytest.mark.slow
def test_nothing_is_compiled_once_the_buckets_are_seen(tmp_path) -> None:
    vlm = models.load(tiny.write("qwen3_vl", tmp_path))

    def programs():
        return {name: getattr(slots, name)._cache_size() for name in slots.PROGRAMS}

    before = programs()
    for _ in range(5):
        vlm.generate_tokens(QUESTIONS * 3, max_new_tokens=8, batch_size=4)
    warm = programs()
    made = {name: warm[name] - before[name] for name in warm}
    assert made["advance"] == 1 and made["empty"] == 1
    assert made["look"] <= 3 and made["prompt"] <= 8 and made["insert"] <= 8
    assert vlm.generate_tokens(list(reversed(QUESTIONS * 4)), max_new_tokens=8, batch_size=4)
    vlm.generate_tokens(QUESTIONS, max_new_tokens=8, batch_size=4)
    assert programs() == warm


@pytest.mark.slow
def test_every_image_of_a_run_is_looked_at_once(tmp_path) -> None:
    vlm = models.load(tiny.write("qwen3_vl", tmp_path))
    decoding = decode.Decoding(4, decode.Sampling(), 4, tuple(vlm.processor.stop_tokens))
    engine = decode.Engine(vlm.model, vlm.mesh, decoding)
    asked = (
        Prompt(number, vlm.processor.encode(one, generate=True), number, 4)
        for number, one in enumerate(QUESTIONS * 2)
    )
    ended = [number for some in engine.run(asked) for number in some]
    assert sorted(ended) == list(range(26))
    assert engine.images.computed == 3
