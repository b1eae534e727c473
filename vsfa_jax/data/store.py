"""Writes a stored set: all of it, or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import Record
from vsfa_jax.data.sources import find_set, open_source
from vsfa_jax.data.tfds_builder import ThreatVqa


def write(
    records: Mapping[str, Callable[[], Iterable[Record]]],
    counts: Mapping[str, Mapping[str, int]],
    out: Path,
) -> None:
    """Writes the set beside `out`, counts what can be read back, and moves it there.

    Args:
      records: for each split a function that returns its records.
      counts: for each split how many records of each arm must be there.
      out: absent, or an empty folder.

    Raises:
      DataError: it cannot be written; `out` is as it was.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as draft:
            ThreatVqa(splits=records, data_dir=draft).download_and_prepare()
            made = find_set(Path(draft))
            for split, arms in counts.items():
                for arm, wanted in arms.items():
                    found = len(open_source(made, split, arm))
                    if found != wanted:
                        raise DataError(f"{out}: {found} of {wanted} records could be read back")
            os.replace(made, out)
    except (OSError, RuntimeError) as error:  # ArrayRecord reports a full disk by RuntimeError
        raise DataError(f"{out}: cannot be written: {error}") from error
