"""Other evaluations beside this one: baselines in its table, other steps in its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from vsfa_jax.benchmarks.case import Answer
from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.findings import ANSWERS, read_answers, read_table, read_verdicts
from vsfa_jax.headline import Point, point
from vsfa_jax.judges.protocol import Verdict
from vsfa_jax.tables import BASE, TUNED

SAME = ("case_set_hash", "judges")  # of the identities of evaluations that share a table


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What another run's model said and how it was judged, under the name of its row."""

    name: str
    answers: tuple[Answer, ...]
    verdicts: tuple[Verdict, ...]


def read_baselines(
    places: Sequence[str], evaluation: str, identity: Mapping[str, str], own_cases: Sequence[str]
) -> list[Baseline]:
    """The evaluations of other workdirs.

    Args:
      places: their workdirs; the folder of an evaluation will do too.
      evaluation: the name of the evaluation in each.
      identity: of this evaluation.
      own_cases: ids of this evaluation's cases.

    Raises:
      CheckpointError: one cannot be read, or is of other cases or judges; the difference is named.
    """
    found: list[Baseline] = []
    for place in places:
        folder = Path(place)
        if not (folder / ANSWERS).exists():
            folder = folder / "eval" / evaluation
        _refuse_other(folder, identity, own_cases)
        answers = read_answers(folder)
        model = TUNED if any(answer.model == TUNED for answer in answers) else BASE
        name = Path(place).absolute().name
        if name in (BASE, TUNED, *(other.name for other in found)):
            raise CheckpointError(
                f"--baselines: {place}: a second row {name!r}; wanted other names"
            )
        found.append(
            Baseline(
                name,
                tuple(Answer(a.case_id, name, a.text) for a in answers if a.model == model),
                tuple(
                    dataclasses.replace(verdict, model=name)
                    for verdict in read_verdicts(folder)
                    if verdict.model == model
                ),
            )
        )
    return found


def _refuse_other(folder: Path, identity: Mapping[str, str], own_cases: Sequence[str]) -> None:
    theirs = read_table(folder)["identity"]
    faults = [
        f"{name} is {theirs.get(name)}, wanted {identity[name]}"
        for name in SAME
        if theirs.get(name) != identity[name]
    ]
    if not faults:
        return
    asked = {answer.case_id for answer in read_answers(folder)}
    own = set(own_cases)
    for what, ids in (("there", asked - own), ("here", own - asked)):
        if ids:
            faults.append(f"{len(ids)} cases only {what}, e.g. {min(ids)!r}")
    if asked == own and theirs.get("case_set_hash") != identity["case_set_hash"]:
        faults.append(f"the {len(own)} cases have the same ids and another content")
    raise CheckpointError(f"{folder}: another test than this one: " + "; ".join(faults))


def other_steps(directory: Path, identity: Mapping[str, str]) -> list[Point]:
    """Headlines of the same run at other steps: the evaluations beside this one of the same test.

    Args:
      directory: of this evaluation; the others lie beside it.
      identity: of this evaluation.
    """
    found: dict[int, Point] = {}
    step = int(identity["step"])
    for folder in sorted(directory.parent.iterdir()) if directory.parent.exists() else ():
        try:
            table = read_table(folder)
        except CheckpointError:
            continue  # begun and not ended, or of an older version
        about = table["identity"]
        if any(about.get(name) != value for name, value in identity.items() if name != "step"):
            continue
        of_step = int(about.get("step", step))
        for vector in table["vectors"]:
            made = point(f"step {of_step}", of_step, vector["parts"])
            if vector["model"] == TUNED and of_step != step and made is not None:
                found[of_step] = made
    return [found[of_step] for of_step in sorted(found)]
