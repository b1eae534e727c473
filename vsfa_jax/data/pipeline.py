"""From a source and a plan to batches: threads read and encode ahead of the step that needs them.

    step n -> plan.batch(n) -> this process's rows -> records -> examples -> Batch

Nothing here draws a random number or counts what went before: batch n is a function of n, so a
run that resumes, or that runs on other processes, sees what it would have seen.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grain
import numpy as np

from vsfa_jax.core.errors import ConfigError, DataError, UserError
from vsfa_jax.core.paths import write_atomic
from vsfa_jax.data.batch import Batch, Budget, Example, collate
from vsfa_jax.data.pack import Plan
from vsfa_jax.data.record import Record, refuse_all
from vsfa_jax.data.sources import Source

HORIZON = 2**40  # steps that an endless stream is said to have


class Pipeline:
    """Batches of one process.

    Args:
      source: the records that the plan's indices count.
      encode: Record -> Example; called from several threads.
      plan: which examples share a row and which rows a batch.
      part: this process's, of `parts`; it takes an unbroken run of rows.
      num_threads: that read and encode.
      prefetch: batches kept ready.

    Raises:
      ConfigError: rows of a batch do not divide over the processes.
      DataError: the plan is of another number of records.
    """

    def __init__(
        self,
        source: Source,
        encode: Callable[[Record], Example],
        plan: Plan,
        *,
        part: int = 0,
        parts: int = 1,
        num_threads: int = 2,
        prefetch: int = 4,
    ):
        if plan.batch_rows % parts:
            raise ConfigError(
                f"batch_rows: {plan.batch_rows} rows do not divide over {parts} processes"
            )
        if len(source) != len(plan.lengths):
            raise DataError(
                f"the packing plan counts {len(plan.lengths)} records, the data {len(source)}"
            )
        self.source = source
        self.encode = encode
        self.plan = plan
        share = plan.batch_rows // parts
        self._rows = slice(part * share, (part + 1) * share)
        self._read = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch)

    def iterate(self, start_step: int = 0) -> Iterator[tuple[int, Batch, list[list[str]]]]:
        """Yields (step, batch, ids of the records in each row) from `start_step` on, endlessly.

        The batch is in numpy and holds this process's rows. Close the iterator to stop the
        threads; leaving a `for` loop does so as soon as the iterator is forgotten.

        Raises:
          ImageError, DataError: a record cannot be used; the message names it.
        """
        steps = grain.MapDataset.range(start_step, HORIZON).map(self.load)
        batches = iter(steps.to_iter_dataset(self._read))
        try:
            yield from batches
        finally:
            batches.close()

    def load(self, step: int) -> tuple[int, Batch, list[list[str]]]:
        """What `iterate` yields for one step, made here and now."""
        step = int(step)
        batch, ids = self._collate(*self.plan.batch(step))
        return step, batch, ids

    def one_pass(self) -> Iterator[Batch]:
        """This process's share of batches that hold each record once."""
        for budget, rows in self.plan.one_pass():
            yield self._collate(budget, rows)[0]

    def _collate(self, budget: Budget, rows: Sequence[np.ndarray]) -> tuple[Batch, list[list[str]]]:
        examples = [[self._example(int(i)) for i in row] for row in rows[self._rows]]
        some = next((row[0] for row in examples if row), None) or self._example(int(rows[0][0]))
        batch = collate(examples, budget, some)
        return batch, [[example.id for example in row] for row in examples]

    def state(self, step: int) -> dict[str, int]:
        """The position in the data before `step`: one number, the same for every process."""
        return {"next_row": step * self.plan.batch_rows}

    def _example(self, index: int) -> Example:
        record = self.source[index]
        try:
            example = self.encode(record)
        except UserError as error:
            raise _naming(record, error) from error
        if not example.trained[1:].any():
            raise DataError(f"record {record.id!r}: no trained token; wanted at least one")
        planned = tuple(self.plan.lengths[index].tolist())
        if example.lengths != planned:
            raise DataError(
                f"record {record.id!r}: {example.lengths} tokens and patches; packing was "
                f"planned for {planned}"
            )
        return example


def lengths(
    source: Source,
    measure: Callable[[Record], tuple[int, int]],
    cache: Path | None = None,
    *,
    key: str = "",
    keep: bool = True,
) -> np.ndarray:
    """Measures every record: what packing needs to know.

    Args:
      source: the records.
      measure: Record -> (tokens, patches).
      cache: a file that keeps the result; used again while `source.fingerprint` and `key` agree.
      key: names what else `measure` depends on, e.g. a hash of tokenizer, template, resolution.
      keep: False reads the file and writes none; of several processes one alone may write.

    Returns:
      [N, 2] int64.

    Raises:
      DataError: some records cannot be measured; all are tried, the first 20 are listed.
    """
    wanted = ""
    if cache is not None:
        wanted = hashlib.sha256(f"{source.fingerprint}\n{key}".encode()).hexdigest()
        found = _read_lengths(cache, wanted)
        if found is not None and len(found) == len(source):
            return found
    measured = np.zeros((len(source), 2), dtype=np.int64)
    errors = []
    for index in range(len(source)):
        try:
            record = source.sketch(index)
            measured[index] = _measure(record, measure)
        except UserError as error:
            errors.append(str(error))
    refuse_all(errors, len(source), "records")
    if cache is not None and keep:
        _write_lengths(cache, wanted, measured)
    return measured


def _measure(record: Record, measure: Callable[[Record], tuple[int, int]]) -> tuple[int, int]:
    try:
        return measure(record)
    except UserError as error:
        raise _naming(record, error) from error


def _naming(record: Record, error: UserError) -> UserError:
    """The same error, with the record's id in its message."""
    if repr(record.id) in str(error):
        return error
    return type(error)(f"record {record.id!r}: {error}")


def _read_lengths(path: Path, key: str) -> np.ndarray | None:
    """The lengths kept in a file, or None where it is absent, damaged or of another key."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return stored["lengths"] if str(stored["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write_lengths(path: Path, key: str, measured: np.ndarray) -> None:
    file = io.BytesIO()
    np.savez_compressed(file, lengths=measured, key=np.array(key))
    write_atomic(path, file.getvalue())
