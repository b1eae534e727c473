"""MM-Vet: open questions that take several abilities at once; a grader scores the answers.

    ROOT/mm_vet/mm-vet.json                           `mm-vet.zip`, unpacked
    ROOT/mm_vet/images/<image>

`mm-vet/` in between, as the archive has it, is looked at too.
"""

from __future__ import annotations

from pathlib import Path

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row, ask, json_rows
from vsfa_jax.benchmarks.images import Images
from vsfa_jax.core.errors import DataError

JUDGES = {"graded": "api"}
SOURCE = "https://github.com/yuweihao/MM-Vet (data CC BY-NC 4.0)"


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """218 questions; which abilities one takes is its category, e.g. "math+ocr".

    `expected["answer"]` has parts joined by "<AND>", all of which are wanted, or by "<OR>", any of
    which will do. `expected["capability"]` has the abilities, joined by ",", and
    `expected["question"]` the question as the grader is shown it.

    Args:
      per_kind: questions, spread over the sets of abilities; 0 is all.
      seed: of the draw.
      root: the folder that holds `mm_vet`.

    Raises:
      DataError: a file is missing or damaged.
    """
    folder = Folder.open(root, "mm_vet", SOURCE)
    questions = folder.file("mm-vet.json", "mm-vet/mm-vet.json")
    found = [_case(folder, questions.parent, number, row) for number, row in json_rows(questions)]
    return draw(found, per_kind=per_kind, seed=seed)


def _case(folder: Folder, data: Path, number: str, row: Row) -> Case:
    abilities = row.value("capability", list)
    if not abilities or not all(isinstance(ability, str) for ability in abilities):
        raise DataError(f"{row.where}: 'capability' is {abilities!r}; wanted some names")
    question = row.text("question")
    return Case(
        id=f"mm_vet/{number}",
        benchmark="mm_vet",
        kind="graded",
        category="+".join(sorted(abilities)),
        images=Images((folder.image(data / "images", row.text("imagename"), row.where),)),
        messages=ask(question, row.where),
        expected={
            "question": question,
            "answer": row.text("answer"),
            "capability": ",".join(sorted(abilities)),
        },
    )
