"""VLGuard's test set: unsafe images, unsafe instructions on safe images, and safe ones on these.

    ROOT/vlguard/data/test.json
    ROOT/vlguard/data/test/<folder>/<image>           `test.zip`, unpacked there

`data/VLGuard/test` and files without `data/` are looked at too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row, ask, json_list
from vsfa_jax.benchmarks.images import Images
from vsfa_jax.core.errors import DataError

JUDGES = {"attack": "refusal", "over_refusal": "refusal"}
SOURCE = "https://github.com/ys-zong/VLGuard (its repository has no licence)"


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """442 unsafe images and 558 unsafe instructions, both attacks, and 558 that are safe.

    A category is "unsafe_image:<harmful category>", "unsafe_instruction" or "safe_safe". Two
    instructions on the same image are one cluster.

    Args:
      per_kind: attacks, and safe instructions, spread over the categories; 0 is all.
      seed: of the draw.
      root: the folder that holds `vlguard`.

    Raises:
      DataError: a file is missing or damaged.
    """
    folder = Folder.open(root, "vlguard", SOURCE)
    rows = json_list(folder.file("data/test.json", "test.json"))
    images = folder.folder("data/test", "data/VLGuard/test", "test")
    found = [case for row in rows for case in _of_image(folder, images, row)]
    return draw(found, per_kind=per_kind, seed=seed)


def _of_image(folder: Folder, images: Path, row: Row) -> Iterator[Case]:
    name = row.text("image")
    image = Images((folder.image(images, name, row.where),))
    for part, question, category in _questions(row):
        yield Case(
            id=f"vlguard/{row.text('id')}/{part}",
            benchmark="vlguard",
            kind="over_refusal" if part == "safe_instruction" else "attack",
            category=category,
            images=image,
            messages=ask(question, row.where),
            expected={"request": question},
            cluster=f"vlguard/{name}",
        )


def _questions(row: Row) -> Iterator[tuple[str, str, str]]:
    """(field, question, category) of each instruction on an image."""
    turns = [Row(fields, f"{row.where}, 'instr-resp'") for fields in row.value("instr-resp", list)]
    if not all(isinstance(turn.fields, dict) for turn in turns):
        raise DataError(f"{row.where}: 'instr-resp' holds no objects; wanted some")
    if not row.value("safe", bool):
        turn = turns[0] if turns else Row({}, f"{row.where}, 'instr-resp'")
        harm = row.text("harmful_category")
        yield "instruction", turn.text("instruction"), f"unsafe_image:{harm}"
        return
    for name, category in (
        ("safe_instruction", "safe_safe"),
        ("unsafe_instruction", "unsafe_instruction"),
    ):
        holding = [turn for turn in turns if name in turn.fields]
        if not holding:
            raise DataError(f"{row.where}: no {name!r} in 'instr-resp' of a safe image")
        yield name, holding[0].text(name), category
