"""Reads Parquet files as the Hugging Face hub has them: columns first, images of a few rows later.

An image column is a struct of `bytes` and `path`. Encoded images are held in memory, but only of
the rows that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from vsfa_jax.benchmarks.files import Row
from vsfa_jax.core.errors import DataError


def parquet_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """The rows of a file, without its other columns.

    Args:
      path: of the file.
      columns: to read.
      optional: to read where the file has them.

    Raises:
      DataError: no Parquet, damaged, or a column is missing.
    """
    file = open_parquet(path)
    found = set(file.schema_arrow.names)
    if missing := [name for name in columns if name not in found]:
        raise DataError(f"{path}: no column {missing[0]!r}; found {', '.join(sorted(found))}")
    read = [*columns, *(name for name in optional if name in found)]
    rows = _read(file, path, read).to_pylist()
    return [Row(fields, f"{path}, row {number}") for number, fields in enumerate(rows, start=1)]


def parquet_images(path: Path, column: str, rows: Sequence[int]) -> list[bytes | None]:
    """The encoded images of some rows, None where a row has none.

    Args:
      path: of the file.
      column: of the images.
      rows: from 0.

    Raises:
      DataError: no Parquet, damaged, no such column, or something else than images in it.
    """
    file = open_parquet(path)
    schema = file.schema_arrow
    if column not in schema.names:
        raise DataError(f"{path}: no column {column!r}; found {', '.join(sorted(schema.names))}")
    kind = schema.field(column).type
    if not pyarrow.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise DataError(f"{path}: column {column!r} is {kind}; wanted images (struct with bytes)")
    taken: list[dict[str, Any] | None] = (
        _read(file, path, [column]).column(0).take(rows).to_pylist()
    )
    return [None if image is None else image["bytes"] for image in taken]


def open_parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    """A file whose columns are not read yet.

    Raises:
      DataError: no Parquet, or damaged.
    """
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error


def _read(file: pyarrow.parquet.ParquetFile, path: Path, columns: list[str]) -> pyarrow.Table:
    try:
        return file.read(columns=columns)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
