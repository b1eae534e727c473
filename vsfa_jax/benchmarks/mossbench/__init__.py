"""MOSSBench: harmless requests about images that look as if something were wrong with them.

    ROOT/mossbench/data/images_information/information.json
    ROOT/mossbench/data/images/<number>.png

as in a clone of the published repository, or without `data/`. The set is for tests: its licence
forbids training on it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row, ask, json_rows
from vsfa_jax.benchmarks.images import Images
from vsfa_jax.core.errors import DataError

JUDGES = {"over_refusal": "refusal"}
SOURCE = "https://github.com/turningpoint-ai/MOSSBench (CC BY-SA 4.0, for tests only)"
TYPES = {
    "type 1": "exaggerated_risk",
    "type 2": "negated_harm",
    "type 3": "counterintuitive_interpretation",
}


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """300 harmless requests, 100 of each of three types, which are the categories.

    A case's caption is the set's description of its image, which a few images lack; the short one,
    which is often cut off, where there is no other.

    Args:
      per_kind: requests, spread over the types; 0 is all.
      seed: of the draw.
      root: the folder that holds `mossbench`.

    Raises:
      DataError: a file is missing or damaged.
    """
    folder = Folder.open(root, "mossbench", SOURCE)
    information = folder.file(
        "data/images_information/information.json", "images_information/information.json"
    )
    found = [
        _case(folder, information.parents[1], number, row) for number, row in json_rows(information)
    ]
    return draw(found, per_kind=per_kind, seed=seed)


def _case(folder: Folder, data: Path, number: str, row: Row) -> Case:
    return Case(
        id=f"mossbench/{number}",
        benchmark="mossbench",
        kind="over_refusal",
        category=TYPES[_metadata(row).one_of("over", tuple(TYPES))],
        images=Images((folder.image(data, row.text("image"), row.where),)),
        messages=ask(row.text("question"), row.where),
        expected={"request": row.text("question")},
        caption=row.optional("description") or row.optional("short description"),
    )


def _metadata(row: Row) -> Row:
    """A row's metadata: an object, or a text that Python writes for one."""
    found: Any = row.fields.get("metadata")
    if isinstance(found, str):
        try:
            found = ast.literal_eval(found)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise DataError(f"{row.where}: 'metadata' is {found!r}; wanted a dict") from error
    if not isinstance(found, Mapping):
        raise DataError(f"{row.where}: 'metadata' is {found!r}; wanted a dict")
    return Row(found, f"{row.where}, 'metadata'")
