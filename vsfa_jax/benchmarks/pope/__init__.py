"""POPE: whether a thing is in a photograph, for things that are not there but well might be.

    ROOT/pope/output/coco/coco_pope_{random,popular,adversarial}.json
    ROOT/pope/val2014/COCO_val2014_<number>.jpg       photographs of COCO

The questions are as in a clone of the published repository, or without `output/coco/`; the
photographs are COCO's (https://cocodataset.org, "2014 Val images").
"""

from __future__ import annotations

from pathlib import Path

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row, ask, json_lines
from vsfa_jax.benchmarks.images import Images

JUDGES = {"vqa": "choice"}
SOURCE = "https://github.com/AoiDragon/POPE (MIT), its photographs at https://cocodataset.org"
SECTIONS = ("random", "popular", "adversarial")
INSTRUCTION = "Answer the question using a single word or phrase."


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """9,000 questions; how their things were chosen is the category.

    `expected["answer"]` is "yes" or "no". Questions about one photograph are one cluster.

    Args:
      per_kind: questions, spread over the categories; 0 is all.
      seed: of the draw.
      root: the folder that holds `pope`.

    Raises:
      DataError: a file is missing or damaged.
    """
    folder = Folder.open(root, "pope", SOURCE)
    images = folder.folder("val2014", "images", "coco/val2014")
    found = []
    for section in SECTIONS:
        name = f"coco_pope_{section}.json"
        rows = json_lines(folder.file(f"output/coco/{name}", name))
        found += [_case(folder, images, section, row) for row in rows]
    return draw(found, per_kind=per_kind, seed=seed)


def _case(folder: Folder, images: Path, section: str, row: Row) -> Case:
    name = row.text("image")
    return Case(
        id=f"pope/{section}/{row.value('question_id', int)}",
        benchmark="pope",
        kind="vqa",
        category=section,
        images=Images((folder.image(images, name, row.where),)),
        messages=ask(f"{row.text('text')}\n{INSTRUCTION}", row.where),
        expected={"answer": row.one_of("label", ("yes", "no"))},
        cluster=f"pope/{name}",
    )
