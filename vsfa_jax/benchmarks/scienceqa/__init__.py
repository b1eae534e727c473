"""ScienceQA's test set: school questions with options, half of them about an image.

    ROOT/scienceqa/data/scienceqa/problems.json
    ROOT/scienceqa/data/scienceqa/pid_splits.json
    ROOT/scienceqa/data/scienceqa/images/test/<problem>/image.png

as in a clone of the published repository after its `tools/download.sh`, or without
`data/scienceqa/`.
"""

from __future__ import annotations

from pathlib import Path

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row, ask, json_rows, read_json
from vsfa_jax.benchmarks.images import Images
from vsfa_jax.benchmarks.multiple_choice import expected_choice, lettered
from vsfa_jax.core.errors import DataError

JUDGES = {"vqa": "choice"}
SOURCE = "https://github.com/lupantech/ScienceQA (data CC BY-NC-SA 4.0)"


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """4,241 questions; a category is "image" or "text" and the subject, e.g. "image:biology".

    A question's hint stands before it. Lectures and solutions are not shown.

    Args:
      per_kind: questions, spread over the categories; 0 is all.
      seed: of the draw.
      root: the folder that holds `scienceqa`.

    Raises:
      DataError: a file is missing or damaged, or a problem of the split is not there.
    """
    folder = Folder.open(root, "scienceqa", SOURCE)
    problems = folder.file("data/scienceqa/problems.json", "data/problems.json", "problems.json")
    splits = problems.with_name("pid_splits.json")
    if not splits.is_file():
        raise folder.missing(splits, "file")
    wanted = read_json(splits, dict).get("test")
    if not isinstance(wanted, list):
        raise DataError(f"{splits}: 'test' is {wanted!r}; wanted a list of problems")
    rows = dict(json_rows(problems))
    if lacking := [number for number in wanted if number not in rows]:
        raise DataError(f"{problems}: no problem {lacking[0]!r}, which {splits} names")
    found = [_case(folder, problems.parent, number, rows[number]) for number in wanted]
    return draw(found, per_kind=per_kind, seed=seed)


def _case(folder: Folder, data: Path, number: str, row: Row) -> Case:
    options = row.value("choices", list)
    hint = row.optional("hint")
    asked = lettered(f"{hint}\n{row.text('question')}".strip(), [str(text) for text in options])
    name = row.optional("image")
    images = data / "images/test" if (data / "images/test").is_dir() else data / "test"
    files = (folder.image(images, f"{number}/{name}", row.where),) if name else ()
    return Case(
        id=f"scienceqa/{number}",
        benchmark="scienceqa",
        kind="vqa",
        category=f"{'image' if name else 'text'}:{row.text('topic')}",
        images=Images(files),
        messages=ask(asked, row.where, num_images=len(files)),
        expected=expected_choice(
            [str(text) for text in options], row.value("answer", int), row.where
        ),
    )
