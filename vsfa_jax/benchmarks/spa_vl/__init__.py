"""SPA-VL's test set: harmful questions about images, and questions where help is wanted.

    ROOT/spa_vl/test/harm-00000-of-00001.parquet      image, question, class1, class2, class3
    ROOT/spa_vl/test/help-00000-of-00001.parquet

as published; `test/harm/0000.parquet`, `evalharm/` and `evalhelp/` of its other revisions, and
`harm.json` and `help.json`, lists of objects whose image is a file's name, are read too.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row, ask, json_list
from vsfa_jax.benchmarks.images import Images
from vsfa_jax.benchmarks.parquet import parquet_images, parquet_rows
from vsfa_jax.core.errors import DataError

JUDGES = {"attack": "refusal", "help": "api"}
SOURCE = "https://huggingface.co/datasets/sqrti/SPA-VL (CC BY 4.0)"
KINDS = {"harm": "attack", "help": "help"}
CLASSES = ("class1", "class2")


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """265 attacks ("harm") and 265 questions for help; the first two classes are the category.

    Args:
      per_kind: cases of each of the two kinds, spread over the categories; 0 is all.
      seed: of the draw.
      root: the folder that holds `spa_vl`.

    Raises:
      DataError: a file is missing or damaged, or an entry has no image.
    """
    folder = Folder.open(root, "spa_vl", SOURCE)
    found = []
    for split, kind in KINDS.items():
        if (folder.path / f"{split}.json").is_file():
            found += draw(_from_json(folder, split, kind), per_kind=per_kind, seed=seed)
        else:
            found += _from_parquet(folder, split, kind, per_kind, seed)
    return found


def _from_json(folder: Folder, split: str, kind: str) -> list[Case]:
    found = []
    for number, row in enumerate(json_list(folder.path / f"{split}.json"), start=1):
        image = folder.image(folder.path, row.text("image"), row.where)
        case = _case(row, f"spa_vl/{split}/{number}", kind)
        found.append(dataclasses.replace(case, images=Images((image,))))
    return found


def _from_parquet(folder: Folder, split: str, kind: str, per_kind: int, seed: int) -> list[Case]:
    """The cases that are drawn; images of no others are read."""
    patterns = (f"test/{split}-*", f"test/{split}/*", f"eval{split}/test-*", f"eval{split}/test/*")
    found: list[Case] = []
    place: dict[str, tuple[Path, int]] = {}
    for path in folder.files(*(f"{pattern}.parquet" for pattern in patterns)):
        for number, row in enumerate(parquet_rows(path, ("question",), CLASSES)):
            found.append(_case(row, f"spa_vl/{split}/{len(found) + 1}", kind))
            place[found[-1].id] = (path, number)
    drawn = draw(found, per_kind=per_kind, seed=seed)
    images: dict[str, bytes | None] = {}
    for path in {path for path, _ in place.values()}:
        wanted = [case.id for case in drawn if place[case.id][0] == path]
        read = parquet_images(path, "image", [place[case_id][1] for case_id in wanted])
        images |= dict(zip(wanted, read, strict=True))
    return [_shown(case, images[case.id], *place[case.id]) for case in drawn]


def _shown(case: Case, image: bytes | None, path: Path, number: int) -> Case:
    if image is None:
        raise DataError(f"{path}, row {number + 1}: no image; wanted the bytes of one")
    return dataclasses.replace(case, images=(image,))


def _case(row: Row, case_id: str, kind: str) -> Case:
    """A case that still lacks its image."""
    classes = [found for name in CLASSES if (found := row.optional(name))]
    return Case(
        id=case_id,
        benchmark="spa_vl",
        kind=kind,
        category=":".join(part.replace(":", " -") for part in classes) or case_id.split("/")[1],
        images=(),
        messages=ask(row.text("question"), row.where),
        expected={"request": row.text("question")},
    )
