"""MMMU's validation set: college questions about charts, maps, scores and other images.

    ROOT/mmmu/<subject>/validation-00000-of-00001.parquet

as published on the Hugging Face hub, 30 subjects, or `data/validation-*.parquet`, where others have
them merged. The 847 questions with options are asked; the 53 without are not, for telling whether a
free answer is right takes another judge.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row
from vsfa_jax.benchmarks.multiple_choice import LETTERS, expected_choice, lettered
from vsfa_jax.benchmarks.parquet import parquet_images, parquet_rows
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import IMAGE_MARK, Message

JUDGES = {"vqa": "choice"}
SOURCE = "https://huggingface.co/datasets/MMMU/MMMU (Apache-2.0)"
COLUMNS = ("id", "question", "options", "answer", "question_type")
NUMBERED = re.compile(r"<image (\d)>")
NAMED = re.compile(r"validation_(\w+)_\d+")
SUBJECTS = (
    "Accounting", "Agriculture", "Architecture_and_Engineering", "Art", "Art_Theory",
    "Basic_Medical_Science", "Biology", "Chemistry", "Clinical_Medicine", "Computer_Science",
    "Design", "Diagnostics_and_Laboratory_Medicine", "Economics", "Electronics",
    "Energy_and_Power", "Finance", "Geography", "History", "Literature", "Manage", "Marketing",
    "Materials", "Math", "Mechanical_Engineering", "Music", "Pharmacy", "Physics", "Psychology",
    "Public_Health", "Sociology",
)  # fmt: skip


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """847 questions; a subject is a category.

    Images stand where the question and its options name them. Those of the cases that are drawn
    are held in memory, some 350 MB of all.

    Args:
      per_kind: questions, spread over the subjects; 0 is all.
      seed: of the draw.
      root: the folder that holds `mmmu`.

    Raises:
      DataError: a file is missing or damaged, or a question names an image that it has not.
    """
    folder = Folder.open(root, "mmmu", SOURCE)
    found: list[Case] = []
    place: dict[str, tuple[Path, int]] = {}
    for path in _files(folder):
        for number, row in enumerate(parquet_rows(path, COLUMNS)):
            if row.text("question_type") == "multiple-choice":
                found.append(_case(row))
                place[found[-1].id] = (path, number)
    drawn = draw(found, per_kind=per_kind, seed=seed)
    images: dict[str, tuple[bytes, ...]] = {}
    for path in sorted({place[case.id][0] for case in drawn}):
        of_file = [case for case in drawn if place[case.id][0] == path]
        images |= _read_images(path, of_file, [place[case.id][1] for case in of_file])
    return [_shown(case, images[case.id]) for case in drawn]


def _files(folder: Folder) -> list[Path]:
    """The merged files, or else those of every subject."""
    if any(folder.path.glob("data/validation-*.parquet")):
        return folder.files("data/validation-*.parquet")
    return [
        path for subject in SUBJECTS for path in folder.files(f"{subject}/validation-*.parquet")
    ]


def _case(row: Row) -> Case:
    """A case that still has numbered marks and lacks its images."""
    options = _options(row)
    letters = LETTERS[: len(options)]
    answer = letters.index(row.one_of("answer", tuple(letters)))
    subject = NAMED.fullmatch(row.text("id"))
    if subject is None:
        raise DataError(f"{row.where}: id {row.text('id')!r}; wanted validation_<subject>_<number>")
    prompt = lettered(row.text("question"), options)
    if IMAGE_MARK in prompt:
        raise DataError(f"{row.where}: an {IMAGE_MARK} mark in a text; wanted numbered ones")
    if not NUMBERED.search(prompt):
        prompt = f"<image 1>\n{prompt}"
    return Case(
        id=f"mmmu/{row.text('id')}",
        benchmark="mmmu",
        kind="vqa",
        category=subject[1],
        images=(),
        messages=(Message("user", prompt),),
        expected=expected_choice(options, answer, row.where),
    )


def _options(row: Row) -> list[str]:
    """A row's options, which the set gives as a text that Python writes for a list."""
    try:
        found = ast.literal_eval(row.text("options"))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DataError(f"{row.where}: 'options' cannot be read; wanted a list") from error
    if not isinstance(found, list) or not found:
        raise DataError(f"{row.where}: 'options' is {found!r}; wanted a list of some")
    return [str(option) for option in found]


def _read_images(path: Path, cases: list[Case], rows: list[int]) -> dict[str, tuple[bytes, ...]]:
    """Case id -> the images that its prompt names, in that order."""
    marks = {case.id: NUMBERED.findall(case.question) for case in cases}
    by_number = {
        number: dict(zip(rows, parquet_images(path, f"image_{number}", rows), strict=True))
        for number in sorted({number for named in marks.values() for number in named})
    }
    found = {}
    for case, row in zip(cases, rows, strict=True):
        images = [by_number[number][row] for number in marks[case.id]]
        whole = tuple(image for image in images if image is not None)
        if len(whole) < len(images):
            lacking = marks[case.id][images.index(None)]
            raise DataError(f"{path}, row {row + 1}: no image_{lacking}, which its question names")
        found[case.id] = whole
    return found


def _shown(case: Case, images: tuple[bytes, ...]) -> Case:
    prompt = NUMBERED.sub(IMAGE_MARK, case.question)
    return dataclasses.replace(case, images=images, messages=(Message("user", prompt),))
