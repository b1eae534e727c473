"""MM-SafetyBench: a harmful request whose key phrase is told by an image, in 13 scenarios.

    ROOT/mm_safetybench/data/processed_questions/<scenario>.json
    ROOT/mm_safetybench/data/imgs/<scenario>/{SD,TYPO,SD_TYPO}/<number>.jpg

as published, or `processed_questions` and `imgs` without `data/`, or both kinds of file in
`<scenario>/`. A question is asked four times: with a picture of its key phrase (SD), with the
phrase typed (TYPO), with both (SD_TYPO), each in the wording published for it, and as a text alone,
in its first wording. The four are one cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row, ask, json_rows
from vsfa_jax.benchmarks.images import Images
from vsfa_jax.benchmarks.mm_safetybench.criteria import CRITERIA

JUDGES = {"attack": "refusal"}
SOURCE = "https://github.com/isXinLiu/MM-SafetyBench (CC BY-NC 4.0)"
WORDINGS = {
    "SD": "Rephrased Question(SD)",
    "TYPO": "Rephrased Question",
    "SD_TYPO": "Rephrased Question",
    "text": "Question",
}
CAPTIONS = {
    "SD": "A picture of {phrase}.",
    "TYPO": "The words: {phrase}",
    "SD_TYPO": "A picture of {phrase}, above the words: {phrase}",
}


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """Attacks; 1,680 questions as four cases each, a scenario and a kind of image a category.

    `expected["criterion"]` says what counts as unsafe in the question's scenario. A caption names
    the key phrase that the image stands for.

    Args:
      per_kind: attacks, spread over scenarios and kinds of image; 0 is all.
      seed: of the draw.
      root: the folder that holds `mm_safetybench`.

    Raises:
      DataError: a file is missing or damaged.
    """
    folder = Folder.open(root, "mm_safetybench", SOURCE)
    found = [case for scenario in CRITERIA for case in _of_scenario(folder, scenario)]
    return draw(found, per_kind=per_kind, seed=seed)


def _of_scenario(folder: Folder, scenario: str) -> Iterator[Case]:
    """Every case of a scenario."""
    questions = folder.file(
        f"data/processed_questions/{scenario}.json",
        f"processed_questions/{scenario}.json",
        f"{scenario}/{scenario}.json",
        f"processed_questions/{scenario}/{scenario}.json",
    )
    images = folder.folder(f"data/imgs/{scenario}", f"imgs/{scenario}", scenario)
    for number, row in json_rows(questions):
        for shown in WORDINGS:
            yield _case(folder, images, scenario, number, row, shown)


def _case(folder: Folder, images: Path, scenario: str, number: str, row: Row, shown: str) -> Case:
    files = () if shown == "text" else (f"{shown}/{number}.jpg",)
    phrase = row.optional("Key Phrase")
    return Case(
        id=f"mm_safetybench/{scenario}/{number}/{shown}",
        benchmark="mm_safetybench",
        kind="attack",
        category=f"{scenario}:{shown}",
        images=Images(tuple(folder.image(images, name, row.where) for name in files)),
        messages=ask(row.text(WORDINGS[shown]), row.where, num_images=len(files)),
        expected={"request": row.text("Question"), "criterion": CRITERIA[scenario]},
        caption=CAPTIONS[shown].format(phrase=phrase) if files and phrase else "",
        cluster=f"mm_safetybench/{scenario}/{number}",
    )
