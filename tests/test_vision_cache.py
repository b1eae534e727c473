"""Features kept of a frozen tower: the same loss and gradients, once an image, refused if stale."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
import speeds
import tiny_checkpoints as tiny
import training

from vsfa_jax import models, state, step
from vsfa_jax.data.batch import Budget, collate
from vsfa_jax.models.parameters import by_name
from vsfa_jax.vision_cache import VisionCache

FAMILIES = sorted(models.FAMILIES)
ADAPTER = dataclasses.replace(training.ADAPTER, targets=("attention", "projector"))


@pytest.fixture(scope="module", params=speeds.cases(FAMILIES, {"qwen3_vl"}))
def vlm(request, tmp_path_factory):
    directory = tiny.write(request.param, tmp_path_factory.mktemp("base"))
    return training.adapted(directory, config=ADAPTER, moved=True)


def cache_of(vlm, directory, key="key", patches=400):
    return VisionCache(directory, vlm.model, key, Budget(0, patches))


def loss_and_gradients(vlm, examples):
    sizes = zip(*(example.lengths for example in examples), strict=True)
    rows = [examples[:2], examples[2:]]
    batch = collate(rows, Budget(*(sum(size) for size in sizes)), examples[0])
    parts = state.split(vlm.model, "lora")
    one = jax.tree.map(lambda leaf: leaf[None], batch)
    gradients = jax.jit(lambda p, f, b: step.gradients(parts.structure, p, f, b))
    total, tokens, sums = gradients(parts.params, parts.frozen, one)
    return float(total / tokens), by_name(sums)


def test_loss_and_gradients_are_the_same(vlm, tmp_path):
    examples = training.examples(vlm, 4)
    cache = cache_of(vlm, tmp_path)
    cache.fill(iter(examples))
    replaced = [cache.replace(example) for example in examples]
    assert all(example.patches.shape[1] == 0 for example in replaced)
    loss, gradients = loss_and_gradients(vlm, examples)
    other, others = loss_and_gradients(vlm, replaced)
    assert other == pytest.approx(loss, rel=1e-5)
    training.assert_same_gradients(gradients, others, tolerance=1e-4)


def test_an_image_is_computed_once(vlm, tmp_path):
    """However often and beside whatever it is seen, and by the next run too."""
    first, second = training.examples(vlm, 9)[7:]
    cache = cache_of(vlm, tmp_path)
    cache.fill(iter([first, second, first]))
    rows = (tmp_path / "features.bin").stat().st_size
    cache.fill(iter([second]))
    assert (tmp_path / "features.bin").stat().st_size == rows > 0
    again = cache_of(vlm, tmp_path)
    again.fill(iter([second, first]))
    assert (tmp_path / "features.bin").stat().st_size == rows
    for example in (first, second):
        one, other = (c.replace(example).patch_places["features"] for c in (cache, again))
        np.testing.assert_array_equal(one, other)


def test_records_that_are_all_there_are_not_looked_at_again(vlm, tmp_path):
    example = training.examples(vlm, 9)[8]
    cache_of(vlm, tmp_path).fill(iter([example]), "records")
    untouched = iter([example])
    again = cache_of(vlm, tmp_path)
    again.fill(untouched, "records")
    assert next(untouched) is example
    assert len(again.replace(example).patch_places["features"]) == len(example.patches)
    again.fill(looked_at := iter([example]), "other records")
    assert next(looked_at, None) is None
    other = cache_of(vlm, tmp_path, key="other")
    other.fill(looked_at := iter([example]), "records")
    assert next(looked_at, None) is None, "another base has nothing yet"


def test_another_base_begins_anew_and_a_torn_file_too(vlm, tmp_path):
    example = training.examples(vlm, 9)[8]
    cache_of(vlm, tmp_path).fill(iter([example]))
    other = cache_of(vlm, tmp_path, key="other")
    with pytest.raises(KeyError):
        other.replace(example)
    other.fill(iter([example]))
    data = (tmp_path / "features.bin").read_bytes()
    (tmp_path / "features.bin").write_bytes(data[:-1])
    torn = cache_of(vlm, tmp_path, key="other")
    torn.fill(iter([example]))
    assert (tmp_path / "features.bin").read_bytes() == data


def test_conversations_without_images_have_no_features(vlm, tmp_path):
    example = vlm.processor.encode(tiny.conversation(("user", "what"), ("assistant", "no")))
    other = training.examples(vlm, 9)[8]
    cache = cache_of(vlm, tmp_path)
    cache.fill(iter([example]))
    alone = cache.replace(example).patch_places["features"]
    cache.fill(iter([other]))
    beside = cache.replace(other).patch_places["features"]
    assert len(alone) == 0 and len(beside) == len(other.patches)
    assert alone.shape[1:] == beside.shape[1:] and alone.dtype == beside.dtype


def test_a_damaged_index_begins_anew(vlm, tmp_path):
    example = training.examples(vlm, 9)[8]
    cache_of(vlm, tmp_path).fill(iter([example]))
    (tmp_path / "index.json").write_text("{")
    again = cache_of(vlm, tmp_path)
    again.fill(iter([example]))
    assert len(again.replace(example).patch_places["features"]) == len(example.patches)
