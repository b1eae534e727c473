"""Compares a tuned model with its base on the same cases.

    python -m vsfa_jax.evaluate --config=configs/tiny.py --workdir=runs/tiny

Restores the newest good checkpoint, lets base and tuned answer every case with the same random
numbers, judges, and writes WORKDIR/eval/NAME/: answers.jsonl, verdicts.jsonl, table.json and
report.html. One that is killed keeps its answers, and the next asks only the rest. Read `evaluate`
from top to bottom.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import logging

from vsfa_jax import __version__, benchmarks, judges, report, table_text, tables
from vsfa_jax.answering import GREEDY_KINDS, Model, answers
from vsfa_jax.assemble import assemble
from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core import config
from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import CheckpointError, ConfigError
from vsfa_jax.core.paths import write_atomic, write_json
from vsfa_jax.core.workdir import EVERY_S, Workdir
from vsfa_jax.judges.protocol import Verdict
from vsfa_jax.kept import Kept
from vsfa_jax.manifest import Manifest, hash_json
from vsfa_jax.preemption import Preemption
from vsfa_jax.provenance import check_workdir, settings_of_run
from vsfa_jax.restore import Trained, restore


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything that an evaluation found, in the order of the cases."""

    cases: list[Case]
    answers: list[Answer]
    verdicts: list[Verdict]
    rows: list[tables.Row]


def evaluate(
    settings: config.Settings, workdir: Path | Workdir, base_answers: Sequence[Answer] = ()
) -> str:
    """Runs the evaluation and writes its folder.

    Args:
      settings: the run's.
      workdir: of the run.
      base_answers: what the base said to the same cases before, as `read_answers` gives them; it
        is asked now where there are none.

    Returns:
      The table as text; nothing on any process but the first, which judges and writes.

    Raises:
      StoppedError: a signal stopped it; what was answered is kept.
      UserError: a workdir of another base or template, no good checkpoint, an unknown benchmark, a
        full disk.
    """
    options, workdir = settings.eval, Workdir.of(workdir)
    directory = folder(workdir.folder, options.name)
    cases = benchmarks.load(options.benchmarks, per_kind=options.per_kind, seed=options.seed)
    settings = settings_of_run(settings, workdir.folder)
    assembly = assemble(settings)
    parts = check_workdir(settings, assembly, workdir.folder)
    tuned = restore(assembly, workdir.home)
    logging.info("step %d of %s: %d cases", tuned.step, workdir, len(cases))
    models = {} if base_answers else {"base": assembly.vlm}
    models["tuned"] = tuned.model
    kept = Kept(directory, {name: origin(name, settings, parts, tuned) for name in models})
    with Preemption() as preemption:

        def stopped() -> bool:  # asked whenever answers have ended
            workdir.send(EVERY_S)
            return preemption.agreed()

        said = ask(models, cases, options, kept, stopped)
    if jax.process_index() > 0:
        return ""
    findings = judge(cases, [*base_answers, *said])
    write(directory, facts(settings, workdir, tuned.step), findings)
    kept.remove()
    return table_text.as_text(findings.rows, max_depth=1)


def folder(workdir: Path, name: str) -> Path:
    """Where the evaluation is written.

    Raises:
      ConfigError: the name is no plain folder name.
    """
    if not name or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"eval.name: found {name!r}, wanted the plain name of a folder")
    return workdir / "eval" / name


def origin(name: str, settings: config.Settings, parts: Manifest, tuned: Trained) -> str:
    """A hash of all that a model's answers follow from, besides the cases."""
    options = settings.eval
    decoding = [options.max_new_tokens, options.temperature, options.seed]
    base = [parts.base_weights, parts.template, parts.resolution, parts.code, settings.model.dtype]
    return hash_json([name, base, decoding, tuned.digest if name == "tuned" else ""])


def ask(
    models: Mapping[str, Model],
    cases: Sequence[Case],
    options: config.Eval,
    kept: Kept,
    stopped: Callable[[], bool],
) -> list[Answer]:
    """Every model's answers, those that are kept among them."""
    said: list[Answer] = []
    for name, model in models.items():
        logging.info("%s answers", name)
        said += answers(
            model,
            cases,
            name=name,
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            batch_size=options.batch_size,
            seed=options.seed,
            kept=kept,
            stopped=stopped,
            shows=jax.process_index() == 0,
        )
    return said


def judge(cases: Sequence[Case], said: Sequence[Answer]) -> Findings:
    """Adds what a blind guesser says, judges, and counts."""
    blind = [Answer(case.id, "blind", case.blind) for case in cases if case.blind is not None]
    said = [*blind, *said]
    judge_of = {case.benchmark: benchmarks.find(case.benchmark).JUDGE for case in cases}
    verdicts = judges.judge_all(cases, said, judge_of)
    return Findings(list(cases), said, verdicts, tables.table(cases, verdicts))


def facts(settings: config.Settings, workdir: Workdir, step: int) -> dict[str, str]:
    """How the evaluation was made, for the report."""
    options = settings.eval
    return {
        "workdir": str(workdir),
        "checkpoint": f"step {step}",
        "base model": settings.model.path,
        "trained on": f"{settings.data.path}, arm {settings.data.arm}, seed {settings.seed}",
        "trained": f"{settings.train.mode}"
        + (f", rank {settings.lora.rank}" if settings.train.mode == "lora" else ""),
        "benchmarks": ", ".join(options.benchmarks),
        "judges": ", ".join(sorted({benchmarks.find(b).JUDGE for b in options.benchmarks})),
        "cases": f"{options.per_kind} of each kind, seed {options.seed}",
        "decoding": f"temperature {options.temperature}, the same random numbers for both models; "
        f"{', '.join(GREEDY_KINDS)} greedy; at most {options.max_new_tokens} tokens",
        "program": f"vsfa_jax {__version__}, jax {jax.__version__} on {jax.default_backend()}",
    }


def write(directory: Path, made: Mapping[str, str], findings: Findings) -> None:
    """Writes the evaluation's folder, each file whole or not at all, the table last.

    Raises:
      CheckpointError: the folder cannot be written.
    """
    cases = {case.id: case for case in findings.cases}
    page = report.render(
        "What fine-tuning did",
        made,
        findings.rows,
        findings.cases,
        findings.answers,
        findings.verdicts,
    )
    answered = ({**_about(cases[a.case_id]), **dataclasses.asdict(a)} for a in findings.answers)
    try:
        (directory / "table.json").unlink(missing_ok=True)
        write_atomic(directory / "answers.jsonl", _lines(answered))
        write_atomic(
            directory / "verdicts.jsonl", _lines(dataclasses.asdict(v) for v in findings.verdicts)
        )
        write_atomic(directory / "report.html", page)
        table = {"made": dict(made), "rows": tables.as_json(findings.rows)}
        write_json(directory / "table.json", table)  # last: where it is, all of it is
    except OSError as error:
        raise CheckpointError(f"{directory}: cannot be written: {error}") from error


def read_answers(directory: Path, model: str) -> list[Answer]:
    """What `model` said in the evaluation whose folder this is.

    Raises:
      CheckpointError: there is no such evaluation, or its file cannot be read.
    """
    path = directory / "answers.jsonl"
    try:
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        said = [Answer(row["case_id"], row["model"], row["text"]) for row in rows]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    return [answer for answer in said if answer.model == model]


def _about(case: Case) -> dict[str, Any]:
    return {
        "benchmark": case.benchmark,
        "kind": case.kind,
        "category": case.category,
        "question": case.question,
        "expected": dict(case.expected),
    }


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main(settings: config.Settings, workdir: Workdir) -> None:
    """Runs under `core.main`."""
    table = evaluate(settings, workdir)
    if jax.process_index() == 0:
        print(table)
        place = workdir.home / "eval" / settings.eval.name
        print(f"report: {place / 'report.html'}")


if __name__ == "__main__":
    entry.run(main, distributed=True)
