"""FigStep's SafeBench-Tiny: five of SafeBench's requests for each of its ten topics.

    ROOT/figstep/data/question/SafeBench-Tiny.csv
    ROOT/figstep/data/images/SafeBench-Tiny/query_ForbidQI_<category>_<task>_6.png

which lie in the same repository, and so in the same folder, as SafeBench's.
"""

from __future__ import annotations

from pathlib import Path

from vsfa_jax.benchmarks import figstep
from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.case_set import draw
from vsfa_jax.benchmarks.files import Folder

JUDGES = figstep.JUDGES
SOURCE = figstep.SOURCE
FOLDER = "figstep"


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """SafeBench-Tiny's 50 attacks; as `figstep.cases` else.

    Args:
      per_kind: attacks, spread over the topics; 0 is all.
      seed: of the draw.
      root: the folder that holds `figstep`.

    Raises:
      DataError: a file is missing or damaged, or the images are and no font is there to draw them.
    """
    folder = Folder.open(root, FOLDER, SOURCE)
    found = figstep.read(folder, "figstep_tiny", "SafeBench-Tiny.csv", "SafeBench-Tiny")
    return draw(found, per_kind=per_kind, seed=seed)
