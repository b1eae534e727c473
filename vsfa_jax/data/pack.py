"""Packing: which examples share a row, decided ahead from their lengths alone.

The plan is an endless stream of global batches, epoch after epoch. It follows from lengths,
budgets, rows a batch and seed; step n asks it for batch n, on any number of processes.

    lengths -> smallest budget that fits -> rows (best fit, shuffled) -> batches of one budget

In an epoch every example that fits a budget is in exactly one row. Rows that do not fill a batch
of their budget wait for the rows of the next epoch.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import io
import itertools
import json
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vsfa_jax.core.errors import CheckpointError, DataError
from vsfa_jax.core.paths import write_atomic
from vsfa_jax.data.batch import Budget

MAX_BUDGETS = 4
OPEN_ROWS = 128  # rows that best fit looks at; more fills no better and costs time
FORMAT = "packing 1"


@dataclasses.dataclass(frozen=True)
class Dropped:
    """An example that fits no budget, and why."""

    index: int
    reason: str


class Plan:
    """The stream of batches; made by `pack`, safe to ask from several threads.

    Attributes:
      lengths: [N, 2] int64, tokens and patches of every example of the source.
      budgets: ascending; every batch is of one of them.
      batch_rows: packed rows of a global batch.
      seed: of every shuffle.
      dropped: the examples that fit no budget.
      hash: sha256 over all of the above and the rows of the first epoch.
    """

    def __init__(
        self, lengths: np.ndarray, budgets: tuple[Budget, ...], batch_rows: int, seed: int
    ):
        self.lengths = lengths
        self.budgets = budgets
        self.batch_rows = batch_rows
        self.seed = seed
        self._bucket = _smallest_budget(lengths, budgets)
        self.dropped = tuple(
            Dropped(int(i), _reason(lengths[i], budgets)) for i in np.flatnonzero(self._bucket < 0)
        )
        if len(self.dropped) == len(lengths):
            first = self.dropped[0].reason if self.dropped else "there are none"
            raise DataError(f"none of {len(lengths)} examples fits a bucket: {first}")
        self._lock = threading.Lock()
        self._waiting: list[list[np.ndarray]] = [[] for _ in budgets]
        self._batches: list[list[tuple[int, list[np.ndarray]]]] = []  # by epoch
        self._ends: list[int] = []  # batches up to and with an epoch
        self._first = _epoch_rows(lengths, self._bucket, budgets, seed, epoch=0)
        self.hash = self._digest()

    def batch(self, step: int) -> tuple[Budget, list[np.ndarray]]:
        """Global batch `step`, from 0: its budget, and `batch_rows` arrays of example indices."""
        epoch = self.epoch(step)
        start = self._ends[epoch - 1] if epoch else 0
        bucket, rows = self._batches[epoch][step - start]
        return self.budgets[bucket], rows

    def epoch(self, step: int) -> int:
        """The pass over the data, from 0, in which batch `step` is completed."""
        if step < 0:
            raise ValueError(f"step {step}: wanted 0 or more")
        with self._lock:
            while not self._ends or self._ends[-1] <= step:
                self._append_epoch()
            return bisect.bisect_right(self._ends, step)

    def one_pass(self) -> Iterator[tuple[Budget, list[np.ndarray]]]:
        """Batches that hold every row of the first epoch once; empty rows fill up the last."""
        empty = np.zeros(0, np.int64)
        for budget, rows in zip(self.budgets, self._first, strict=True):
            for start in range(0, len(rows), self.batch_rows):
                part = rows[start : start + self.batch_rows]
                yield budget, part + [empty] * (self.batch_rows - len(part))

    @property
    def num_fitting(self) -> int:
        """How many examples fit a budget."""
        return len(self.lengths) - len(self.dropped)

    @property
    def rows_per_epoch(self) -> int:
        """Rows of the first epoch; later ones are shuffled anew and may differ by a few."""
        return sum(len(rows) for rows in self._first)

    @property
    def fill(self) -> tuple[float, float]:
        """Shares of the first epoch's token and patch places that hold something."""
        room = np.zeros(2)
        for budget, rows in zip(self.budgets, self._first, strict=True):
            room += len(rows) * np.array(dataclasses.astuple(budget))
        used = self.lengths[self._bucket >= 0].sum(axis=0)
        tokens, patches = np.divide(used, room, out=np.zeros(2), where=room > 0)
        return float(tokens), float(patches)

    def describe(self) -> str:
        """One line for the log: examples, rows, fill, and what was dropped and why."""
        tokens, patches = self.fill
        text = (
            f"packed {self.num_fitting} examples into {self.rows_per_epoch} rows an epoch, "
            f"{tokens:.1%} of tokens and {patches:.1%} of patches filled"
        )
        if self.dropped:
            some = "; ".join(f"example {d.index}: {d.reason}" for d in self.dropped[:3])
            text += f"; dropped {len(self.dropped)} that fit no bucket ({some})"
        return text

    def save(self, path: Path | str) -> None:
        """Writes what the plan follows from, the first epoch's rows, and the hash."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {f"rows_{i}": _flat(rows) for i, rows in enumerate(self._first)}
        arrays |= {"lengths": self.lengths, "settings": self._settings(), "hash": self.hash}
        np.savez_compressed(file, **arrays)
        write_atomic(Path(path), file.getvalue())

    def _settings(self) -> str:
        budgets = [dataclasses.astuple(budget) for budget in self.budgets]
        return json.dumps([FORMAT, budgets, self.batch_rows, self.seed])

    def _digest(self) -> str:
        total = hashlib.sha256(self._settings().encode())
        for array in (self.lengths, *map(_flat, self._first)):
            total.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return total.hexdigest()

    def _append_epoch(self) -> None:
        epoch = len(self._ends)
        fresh = self._first
        if epoch:
            fresh = _epoch_rows(self.lengths, self._bucket, self.budgets, self.seed, epoch=epoch)
        batches = []
        for bucket, rows in enumerate(fresh):
            queue = self._waiting[bucket] + rows
            whole = len(queue) - len(queue) % self.batch_rows
            for start in range(0, whole, self.batch_rows):
                batches.append((bucket, queue[start : start + self.batch_rows]))
            self._waiting[bucket] = queue[whole:]
        order = _shuffle(len(batches), self.seed, epoch, stream=len(self.budgets))
        self._batches.append([batches[i] for i in order])
        self._ends.append((self._ends[-1] if self._ends else 0) + len(batches))


def pack(lengths: np.ndarray, budgets: Sequence[Budget], batch_rows: int, seed: int = 0) -> Plan:
    """Plans the stream of batches.

    Args:
      lengths: [N, 2] int, tokens and patches of each example.
      budgets: 1 to 4, both numbers ascending; an example goes to the first that holds it.
      batch_rows: packed rows of a global batch, over all processes.
      seed: of the shuffles.

    Raises:
      DataError: budgets that are not ascending or too many, or no example fits any.
    """
    budgets = tuple(budgets)
    if not 1 <= len(budgets) <= MAX_BUDGETS:
        raise DataError(f"{len(budgets)} buckets; wanted 1 to {MAX_BUDGETS}")
    for small, large in itertools.pairwise(budgets):
        if small.tokens > large.tokens or small.patches > large.patches or small == large:
            raise DataError(f"bucket {large} after {small}; wanted both numbers ascending")
    if batch_rows < 1:
        raise DataError(f"{batch_rows} rows a batch; wanted at least 1")
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.ndim != 2 or lengths.shape[1] != 2:
        raise ValueError(f"lengths of shape {lengths.shape}; wanted [N, 2]: tokens, patches")
    return Plan(lengths, budgets, batch_rows, seed)


def load(path: Path | str) -> Plan:
    """Reads a plan that `Plan.save` wrote, and makes sure that it packs as it did then.

    Raises:
      CheckpointError: not a plan, or what it follows from no longer gives its hash.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            kind, budgets, batch_rows, seed = json.loads(str(stored["settings"]))
            lengths, wanted = stored["lengths"], str(stored["hash"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: not a readable packing plan: {error}") from error
    if kind != FORMAT:
        raise CheckpointError(f"{path}: made by {kind!r}; this program packs by {FORMAT!r}")
    plan = pack(lengths, [Budget(*pair) for pair in budgets], batch_rows, seed)
    if plan.hash != wanted:
        raise CheckpointError(f"{path}: packing hash {plan.hash}; the file says {wanted}")
    return plan


def _smallest_budget(lengths: np.ndarray, budgets: Sequence[Budget]) -> np.ndarray:
    """[N] int, number of the first budget that holds an example; -1 if none does."""
    room = np.array([dataclasses.astuple(budget) for budget in budgets])
    fits = np.all(lengths[:, None, :] <= room[None], axis=2)
    return np.where(np.any(fits, axis=1), np.argmax(fits, axis=1), -1)


def _reason(length: np.ndarray, budgets: Sequence[Budget]) -> str:
    tokens, patches = map(int, length)
    largest = budgets[-1]
    return (
        f"{tokens} tokens and {patches} patches; "
        f"the largest bucket holds {largest.tokens} and {largest.patches}"
    )


def _shuffle(size: int, seed: int, epoch: int, stream: int) -> np.ndarray:
    """A permutation made of Philox's raw bits, which no numpy release may change."""
    key = hashlib.sha256(f"{seed} {epoch} {stream}".encode()).digest()
    bits = np.random.Philox(key=np.frombuffer(key[:16], dtype="<u8"))
    return np.argsort(bits.random_raw(size), kind="stable")


def _epoch_rows(
    lengths: np.ndarray,
    bucket: np.ndarray,
    budgets: Sequence[Budget],
    seed: int,
    *,
    epoch: int,
) -> list[list[np.ndarray]]:
    """Rows of one epoch, by budget: each an array of example indices."""
    found = []
    for number, budget in enumerate(budgets):
        members = np.flatnonzero(bucket == number)
        members = members[_shuffle(len(members), seed, epoch, stream=number)]
        rows = _best_fit(lengths[members], dataclasses.astuple(budget))
        # Rows closed last are the emptiest: without this they would share the last batches.
        order = _shuffle(len(rows), seed, epoch, stream=-1 - number)
        found.append([members[rows[i]] for i in order])
    return found


def _best_fit(lengths: np.ndarray, room: tuple[int, int]) -> list[list[int]]:
    """Puts each example, in the order given, into the open row that it leaves fullest."""
    size = np.array(room)
    scale = 1.0 / np.maximum(size, 1)
    left = np.zeros((OPEN_ROWS, 2), dtype=np.int64)  # free places of each open row
    rows: list[list[int]] = [[] for _ in range(OPEN_ROWS)]
    closed: list[list[int]] = []
    for example, length in enumerate(lengths):
        after = left - length
        share = np.where((after >= 0).all(axis=1), after @ scale, np.inf)
        slot = int(share.argmin())
        if not rows[slot] or not np.isfinite(share[slot]):
            # Slots never used have no room left, so they are the first to be replaced.
            slot = int((left @ scale).argmin())
            if rows[slot]:
                closed.append(rows[slot])
            rows[slot], left[slot] = [], size
        rows[slot].append(example)
        left[slot] -= length
    return closed + [row for row in rows if row]


def _flat(rows: list[np.ndarray]) -> np.ndarray:
    """Rows end to end, each after its own length; [sum of (1 + examples of a row)] int64."""
    parts = [part for row in rows for part in ([len(row)], row)]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
