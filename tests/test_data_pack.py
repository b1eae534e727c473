"""Packing: every fitting example once an epoch, no row over its budget, one stream for all."""

import collections
import itertools
import zipfile

import numpy as np
import pytest

from vsfa_jax.core.errors import CheckpointError, DataError
from vsfa_jax.data import pack
from vsfa_jax.data.batch import Budget

BUDGETS = (Budget(64, 20), Budget(128, 60), Budget(128, 130))


def random_case(seed):
    """Lengths and settings as wild as packing may meet them."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 300))
    tokens = rng.integers(1, rng.choice([20, 80, 140]), size)
    patches = rng.integers(0, rng.choice([2, 30, 140]), size)
    budgets = BUDGETS[: int(rng.integers(1, 4))]
    lengths = np.stack([tokens, patches], axis=1)
    lengths[0] = [5, 1]  # something always fits
    return lengths, budgets, int(rng.integers(1, 6)), int(rng.integers(0, 1000))


def take(plan, count):
    return [plan.batch(step) for step in range(count)]


def same(one, other):
    return all(
        a[0] == b[0] and all(map(np.array_equal, a[1], b[1]))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("seed", range(25))
def test_every_fitting_example_once_an_epoch_and_no_budget_exceeded(seed):
    lengths, budgets, batch_rows, shuffle_seed = random_case(seed)
    plan = pack.pack(lengths, budgets, batch_rows, shuffle_seed)
    fitting = {
        i
        for i, (tokens, patches) in enumerate(lengths)
        if any(tokens <= b.tokens and patches <= b.patches for b in budgets)
    }
    dropped = {d.index for d in plan.dropped}
    assert dropped == set(range(len(lengths))) - fitting

    # Rows are cut into epochs by counting: after k epochs every example was in k rows, less those
    # rows that still wait for a full batch of their budget.
    epochs = 3
    seen = collections.Counter()
    step = 0
    while plan.epoch(step) < epochs:
        budget, rows = plan.batch(step)
        assert budget in budgets
        assert len(rows) == batch_rows
        for row in rows:
            assert len(row) > 0
            assert len(set(row.tolist())) == len(row)
            tokens, patches = lengths[row].sum(axis=0)
            assert tokens <= budget.tokens
            assert patches <= budget.patches
            for index in row:  # the smallest budget that holds the example
                smaller = [
                    b
                    for b in budgets[: budgets.index(budget)]
                    if lengths[index][0] <= b.tokens and lengths[index][1] <= b.patches
                ]
                assert not smaller
            seen.update(row.tolist())
        step += 1
    assert set(seen) <= fitting
    assert max(seen.values(), default=0) <= epochs
    # One row an epoch and example: with a batch of one row none waits, so the count is exact.
    alone = pack.pack(lengths, budgets, 1, shuffle_seed)
    for epoch in range(2):
        steps = [s for s in range(3 * len(lengths)) if alone.epoch(s) == epoch]
        indices = [i for s in steps for row in alone.batch(s)[1] for i in row.tolist()]
        assert sorted(indices) == sorted(fitting)


def test_rows_that_wait_are_in_the_next_epoch():
    lengths = np.array([[60, 0]] * 5)  # five rows of one example; batches of two
    plan = pack.pack(lengths, [Budget(64, 20)], 2, seed=3)
    assert [plan.epoch(step) for step in range(10)] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    for start in (0, 5):
        stream = [int(row[0]) for s in range(start, start + 5) for row in plan.batch(s)[1]]
        assert sorted(stream) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_stream_does_not_depend_on_what_was_asked_before():
    lengths, budgets, batch_rows, seed = random_case(7)
    forward = take(pack.pack(lengths, budgets, batch_rows, seed), 40)
    late = pack.pack(lengths, budgets, batch_rows, seed)
    backward = [late.batch(step) for step in reversed(range(40))][::-1]
    assert same(forward, backward)
    assert same(forward[:5], take(pack.pack(lengths, budgets, batch_rows, seed), 5))


def test_epochs_differ_and_seeds_differ():
    lengths = np.array([[10, 2]] * 60)
    one = take(pack.pack(lengths, [Budget(60, 20)], 1, seed=0), 20)
    other = take(pack.pack(lengths, [Budget(60, 20)], 1, seed=1), 20)
    assert not same(one, other)
    assert not same(one[:10], one[10:])


def test_fill_is_high_and_counted_right():
    rng = np.random.default_rng(0)
    lengths = np.stack([rng.integers(20, 60, 2000), rng.integers(0, 30, 2000)], axis=1)
    plan = pack.pack(lengths, [Budget(256, 128)], 8, seed=0)
    tokens, patches = plan.fill
    assert tokens == pytest.approx(lengths[:, 0].sum() / (256 * plan.rows_per_epoch))
    assert patches == pytest.approx(lengths[:, 1].sum() / (128 * plan.rows_per_epoch))
    assert tokens > 0.93


def test_hash_changes_with_everything_it_stands_for():
    lengths = np.array([[10, 2], [20, 4], [30, 0]])
    base = (lengths, (Budget(64, 20),), 2, 0)
    longer = lengths + np.array([[0, 0], [1, 0], [0, 0]])
    cases = [
        base,
        (longer, *base[1:]),
        (lengths[::-1], *base[1:]),
        (lengths, (Budget(65, 20),), 2, 0),
        (lengths, (Budget(64, 20), Budget(64, 40)), 2, 0),
        (lengths, (Budget(64, 20),), 3, 0),
        (lengths, (Budget(64, 20),), 2, 1),
    ]
    hashes = [pack.pack(*case).hash for case in cases]
    assert len(set(hashes)) == len(cases)
    assert pack.pack(*base).hash == hashes[0]


def test_golden_stream():
    """May change only together with `pack.FORMAT`: a resumed run must see the same batches."""
    lengths = np.array([[10 + 3 * i, i % 4] for i in range(12)])
    plan = pack.pack(lengths, [Budget(32, 4), Budget(64, 8)], 2, seed=5)
    rows = [row.tolist() for _, batch in take(plan, 3) for row in batch]
    assert rows == GOLDEN_ROWS
    assert plan.hash.startswith(GOLDEN_HASH)


GOLDEN_ROWS = [[11], [10], [9], [8], [1, 2], [7]]
GOLDEN_HASH = "891aef5f86db"


def test_dropped_are_named_with_reason_in_the_log_line():
    plan = pack.pack(np.array([[10, 2], [999, 2], [10, 777]]), [Budget(64, 20)], 1)
    assert [d.index for d in plan.dropped] == [1, 2]
    line = plan.describe()
    assert "dropped 2" in line
    assert "999 tokens and 2 patches" in line
    assert "largest bucket holds 64 and 20" in line


@pytest.mark.parametrize(
    ("lengths", "budgets", "rows", "words"),
    [
        ([[99, 0]], [Budget(64, 20)], 1, "none of 1 examples fits"),
        (np.zeros((0, 2)), [Budget(64, 20)], 1, "none of 0 examples"),
        ([[1, 0]], [], 1, "wanted 1 to 4"),
        ([[1, 0]], [Budget(i, i) for i in range(1, 6)], 1, "wanted 1 to 4"),
        ([[1, 0]], [Budget(64, 20), Budget(32, 20)], 1, "ascending"),
        ([[1, 0]], [Budget(64, 20), Budget(64, 20)], 1, "ascending"),
        ([[1, 0]], [Budget(64, 20)], 0, "at least 1"),
    ],
)
def test_bad_settings_are_refused(lengths, budgets, rows, words):
    with pytest.raises(DataError, match=words):
        pack.pack(np.array(lengths), budgets, rows)


def test_saved_plan_loads_to_the_same_stream(tmp_path):
    lengths, budgets, batch_rows, seed = random_case(11)
    plan = pack.pack(lengths, budgets, batch_rows, seed)
    plan.save(tmp_path / "plan.npz")
    loaded = pack.load(tmp_path / "plan.npz")
    assert loaded.hash == plan.hash
    assert same(take(loaded, 15), take(plan, 15))
    assert list(tmp_path.iterdir()) == [tmp_path / "plan.npz"]


def test_altered_or_damaged_plan_is_refused(tmp_path):
    path = tmp_path / "plan.npz"
    pack.pack(np.array([[10, 2], [20, 4]]), [Budget(64, 20)], 1).save(path)
    with np.load(path) as stored:
        parts = dict(stored)
    np.savez(tmp_path / "other.npz", **{**parts, "lengths": parts["lengths"] + 1})
    with pytest.raises(CheckpointError, match="packing hash"):
        pack.load(tmp_path / "other.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="not a readable packing plan"):
        pack.load(path)
    with pytest.raises(CheckpointError, match="not a readable packing plan"):
        pack.load(tmp_path / "absent.npz")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(CheckpointError, match="not a readable packing plan"):
        pack.load(path)


def test_buckets_take_turns():
    """Batches of the budgets are mixed within an epoch, not one budget after the other."""
    rng = np.random.default_rng(1)
    lengths = np.stack([rng.integers(5, 30, 400), rng.choice([4, 100], 400)], axis=1)
    plan = pack.pack(lengths, BUDGETS, 4, seed=0)
    order = [plan.batch(s)[0] for s in itertools.takewhile(lambda s: plan.epoch(s) < 1, range(999))]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes > len(order) / 8
