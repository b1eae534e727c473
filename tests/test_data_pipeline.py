"""Pipeline: batch n is a function of n, whatever the processes, threads and resumes."""

import itertools
import threading
import time

import jax
import numpy as np
import pytest

from vsfa_jax.core.errors import ConfigError, DataError, ImageError
from vsfa_jax.data import pack, pipeline
from vsfa_jax.data.batch import NO_IMAGE, Budget, Example
from vsfa_jax.data.record import Message, Record

BUDGETS = (Budget(24, 8), Budget(48, 24))
CHANNELS = 12


class ListSource:
    """Records of known sizes: record i has 4 to 20 letters and up to 3 images of 4 patches."""

    def __init__(self, size):
        draw = np.random.default_rng(0)
        self.records = [
            Record(f"r{i}", tuple([b"x"] * draw.integers(0, 4)), (Message("assistant", "a" * n),))
            for i, n in enumerate(draw.integers(4, 20, size))
        ]
        self.fingerprint = f"list {size}"
        self.reads = 0

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        self.reads += 1
        return self.records[index]

    def sketch(self, index):
        return self[index]


def measure(record):
    return len(record.messages[0].content), 4 * len(record.images)


def encode(record):
    tokens, patches = measure(record)
    number = int(record.id[1:])
    return Example(
        id=record.id,
        tokens=np.full(tokens, number + 1, np.int32),
        trained=np.arange(tokens) > 1,
        positions=np.repeat(np.arange(tokens, dtype=np.int32)[:, None], 3, axis=1),
        image_index=np.full(tokens, NO_IMAGE, np.int32),
        num_rows=patches,
        patches=np.full((patches, CHANNELS), number, np.float32),
        patch_segments=np.arange(patches, dtype=np.int32) // 4 + 1,
        patch_places={"positions": np.arange(patches, dtype=np.int32) % 4},
    )


def make(size=40, batch_rows=4, encode=encode, **options):
    source = ListSource(size)
    plan = pack.pack(pipeline.lengths(source, measure), BUDGETS, batch_rows, seed=1)
    return pipeline.Pipeline(source, encode, plan, **options)


def take(pipe, count, start=0):
    iterator = pipe.iterate(start)
    try:
        return list(itertools.islice(iterator, count))
    finally:
        iterator.close()


def same(one, other):
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_global_batch_is_the_same_for_any_number_of_processes(count):
    whole = take(make(), 12)
    shares = [take(make(part=i, parts=count), 12) for i in range(count)]
    for step, parts in enumerate(zip(*shares, strict=True)):
        assert [part[0] for part in parts] == [step] * count
        joined = jax.tree.map(lambda *x: np.concatenate(x), *(part[1] for part in parts))
        assert same(joined, whole[step][1])
        assert [row for part in parts for row in part[2]] == whole[step][2]


def test_batches_hold_what_the_plan_says():
    pipe = make()
    shapes = set()
    for step, batch, ids in take(pipe, 15):
        budget, rows = pipe.plan.batch(step)
        assert batch.tokens.shape == (4, budget.tokens)
        assert batch.vision.patches.shape == (4, budget.patches, CHANNELS)
        shapes.add(batch.tokens.shape)
        assert ids == [[f"r{i}" for i in row] for row in rows]
        for tokens, segments, row in zip(batch.tokens, batch.segment_ids, rows, strict=True):
            for number, index in enumerate(row, start=1):
                assert set(tokens[segments == number]) == {index + 1}
                assert (segments == number).sum() == pipe.plan.lengths[index][0]
            assert tokens[segments == 0].sum() == 0
    assert len(shapes) == 2


def test_resumed_stream_goes_on_where_it_was():
    pipe = make()
    forward = take(pipe, 12)
    for start in (1, 5, 11):
        resumed = take(make(), 12 - start, start)
        assert [step for step, *_ in resumed] == list(range(start, 12))
        assert all(same(a, b) and c == d for (_, a, c), (_, b, d) in zip(
            resumed, forward[start:], strict=True))  # fmt: skip
    assert pipe.state(7) == {"next_row": 28}


def test_number_of_threads_changes_nothing():
    def uneven(record):  # some records take longer, so that threads overtake each other
        time.sleep(0.002 * (int(record.id[1:]) % 3))
        return encode(record)

    one = take(make(encode=uneven, num_threads=1, prefetch=1), 10)
    many = take(make(encode=uneven, num_threads=8, prefetch=8), 10)
    assert all(same(a, b) for (_, a, _), (_, b, _) in zip(one, many, strict=True))


def test_threads_end_with_the_iterator():
    before = set(threading.enumerate())
    iterator = make(num_threads=4).iterate(0)
    next(iterator)
    started = set(threading.enumerate()) - before
    assert started
    iterator.close()
    for thread in started:
        thread.join(timeout=5)
    assert not started & set(threading.enumerate())


@pytest.mark.parametrize("kind", [ImageError, DataError])
def test_a_record_that_cannot_be_encoded_is_named(kind):
    def broken(record):
        if record.id == "r17":
            raise kind("image 1: truncated")
        return encode(record)

    with pytest.raises(kind, match=r"^record 'r17': image 1: truncated"):
        take(make(encode=broken), 30)


def test_a_record_without_a_trained_token_is_named():
    def silent(record):
        example = encode(record)
        if record.id == "r3":  # the first token is never predicted, so training it trains nothing
            example.trained[:] = np.arange(len(example.trained)) == 0
        return example

    with pytest.raises(DataError, match="record 'r3': no trained token"):
        take(make(encode=silent), 30)


def test_stale_lengths_are_noticed():
    pipe = make()
    pipe.source.records[5] = Record("r5", (), (Message("assistant", "a" * 21),))
    with pytest.raises(DataError, match=r"record 'r5': \(21, 0\) tokens and patches; packing was"):
        take(pipe, 30)


def test_rows_must_divide_and_counts_agree():
    with pytest.raises(ConfigError, match="batch_rows: 4 rows do not divide over 3 processes"):
        make(parts=3)
    with pytest.raises(DataError, match="counts 40 records, the data 39"):
        pipeline.Pipeline(ListSource(39), encode, make().plan)


def test_lengths_are_cached_by_fingerprint_and_key(tmp_path):
    source, cache = ListSource(20), tmp_path / "lengths.npz"
    first = pipeline.lengths(source, measure, cache, key="template a")
    assert first.tolist() == [list(measure(record)) for record in source.records]
    assert source.reads == 20
    assert np.array_equal(pipeline.lengths(source, measure, cache, key="template a"), first)
    assert source.reads == 20
    pipeline.lengths(source, measure, cache, key="template b")
    assert source.reads == 40
    source.fingerprint = "other"
    pipeline.lengths(source, measure, cache, key="template b")
    assert source.reads == 60
    cache.write_bytes(cache.read_bytes()[:100])
    assert np.array_equal(pipeline.lengths(source, measure, cache, key="template b"), first)
    assert source.reads == 80


def test_lengths_collect_all_errors_and_cache_nothing(tmp_path):
    def broken(record):
        if record.id in ("r3", "r8"):
            raise ImageError("not an image")
        return measure(record)

    with pytest.raises(DataError) as caught:
        pipeline.lengths(ListSource(20), broken, tmp_path / "lengths.npz")
    assert "2 of 20 records cannot be used" in str(caught.value)
    assert "record 'r3': not an image\n  record 'r8': not an image" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
