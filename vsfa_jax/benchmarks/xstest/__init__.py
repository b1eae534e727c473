"""XSTest: safe requests that sound unsafe, and unsafe ones beside them; texts alone.

ROOT/xstest/xstest_prompts.csv                    id, prompt, type, label, focus, note
"""

from __future__ import annotations

from pathlib import Path

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder, Row, ask, csv_rows

JUDGES = {"over_refusal": "refusal", "attack": "refusal"}
SOURCE = "https://github.com/paul-rottger/exaggerated-safety (prompts CC BY 4.0)"
KINDS = {"safe": "over_refusal", "unsafe": "attack"}


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """250 safe requests and 200 unsafe ones, as attacks; their types are the categories.

    Args:
      per_kind: requests of each label, spread over the types; 0 is all.
      seed: of the draw.
      root: the folder that holds `xstest`.

    Raises:
      DataError: the file is missing or damaged.
    """
    folder = Folder.open(root, "xstest", SOURCE)
    rows = csv_rows(folder.file("xstest_prompts.csv", "xstest_v2_prompts.csv"))
    return draw([_case(row) for row in rows], per_kind=per_kind, seed=seed)


def _case(row: Row) -> Case:
    return Case(
        id=f"xstest/{row.text('id')}",
        benchmark="xstest",
        kind=KINDS[row.one_of("label", tuple(KINDS))],
        category=row.text("type"),
        images=(),
        messages=ask(row.text("prompt"), row.where, num_images=0),
        expected={"request": row.text("prompt")},
    )
