"""Compares a tuned model with its base on the same cases.

    python -m vsfa_jax.evaluate --config=configs/tiny.py --workdir=runs/tiny

Restores the newest good checkpoint, lets base, defences and tuned model answer every case with the
same random numbers, judges, and writes WORKDIR/eval/NAME/: answers.jsonl, verdicts.jsonl,
table.json and report.html. One that is killed keeps its answers, and the next asks only the rest.

    --baselines=DIR,DIR   rows of other workdirs' evaluations of the same cases
    --rejudge             judges the answers that are there again; no model is needed

It ends with status 1 where more than eval.max_unjudged could not be judged; the table is written
all the same, and says so. Read `evaluate` from top to bottom.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import jax
from absl import flags, logging

from vsfa_jax import __version__, benchmarks, defences, findings, judges, judging, tables
from vsfa_jax.answering import GREEDY_KINDS, Model, answers
from vsfa_jax.assemble import assemble
from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.benchmarks.case_set import case_set_hash
from vsfa_jax.benchmarks.modes import in_mode
from vsfa_jax.compared import Baseline, other_steps, read_baselines
from vsfa_jax.core import config
from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import CheckpointError, ConfigError, UnjudgedError
from vsfa_jax.core.processes import from_first
from vsfa_jax.core.workdir import EVERY_S, Workdir
from vsfa_jax.findings import Findings
from vsfa_jax.kept import Kept
from vsfa_jax.manifest import Manifest, hash_json
from vsfa_jax.preemption import Preemption
from vsfa_jax.provenance import check_workdir, manifest, settings_of_run
from vsfa_jax.restore import Trained, restore
from vsfa_jax.table_text import as_text

FACTS = (
    *("workdir", "base model", "checkpoint", "trained on", "trained", "benchmarks", "modes"),
    *("defences", "judges", "cases", "decoding", "program"),
)
CACHE = "judged.sqlite"  # what judges were asked, in the workdir


def evaluate(
    settings: config.Settings,
    workdir: Path | Workdir,
    base_answers: Sequence[Answer] = (),
    baselines: Sequence[str] = (),
) -> str:
    """Runs the evaluation and writes its folder.

    Args:
      settings: the run's.
      workdir: of the run.
      base_answers: what the base said to the same cases before, as `read_answers` gives them; it
        is asked now where there are none.
      baselines: other workdirs, whose evaluations get a row each.

    Returns:
      The table as text; nothing on any process but the first, which judges and writes.

    Raises:
      StoppedError: a signal stopped it; what was answered is kept.
      TrainingError: a judge's service cannot go on; what was answered and judged is kept.
      UserError: a workdir of another base or template, no good checkpoint, an unknown benchmark, a
        full disk.
    """
    options, workdir = settings.eval, Workdir.of(workdir)
    directory = folder(workdir.folder, options.name)
    cases = load_cases(options)
    check_judges(settings, workdir, cases)
    rows = {f"{tables.BASE}{defences.MARK}{name}": name for name in options.defences}
    if options.tuned:
        settings = settings_of_run(settings, workdir.folder)
    assembly = assemble(settings)
    if options.tuned:
        parts = check_workdir(settings, assembly, workdir.folder)
        tuned = restore(assembly, workdir.home, options.step or None)
    else:
        parts, tuned = manifest(settings, assembly, None), None
    identity = identity_of(settings, cases, parts, tuned)
    others = read_baselines(baselines, options.name, identity, [case.id for case in cases])
    logging.info("%s: %d cases", f"step {tuned.step} of {workdir}" if tuned else "base", len(cases))
    asked = [] if base_answers else [tables.BASE]
    asked += [stage for row, name in rows.items() for stage in defences.stages(row, name)]
    models = dict.fromkeys(asked, assembly.vlm) | ({tables.TUNED: tuned.model} if tuned else {})
    kept = Kept(directory, origins(models, identity, settings, parts, tuned))
    with Preemption() as preemption:

        def stopped() -> bool:  # asked whenever answers have ended
            workdir.send(EVERY_S)
            return preemption.agreed()

        said = ask(models, cases, settings, rows, base_answers, kept, stopped)
    if jax.process_index() > 0:
        return ""
    findings.forget_table(directory)
    findings.write_answers(directory, cases, said)  # before anything is paid for
    made = facts(settings, workdir, tuned, identity["judges"])
    found = judge(settings, workdir, cases, said, made, identity, others)
    findings.write(directory, found, other_steps(directory, identity))
    kept.remove()
    return as_text(found.rows, max_depth=1)


def rejudge(
    settings: config.Settings, workdir: Path | Workdir, baselines: Sequence[str] = ()
) -> str:
    """Judges the answers of an evaluation that came to its end again, and writes the rest anew.

    Neither a model nor the run's checkpoint is needed, and what was paid for is not paid again.
    Rows of baselines are there only if they are given again. Returns and raises as `evaluate`.

    Raises:
      CheckpointError: there is no such evaluation, or it is of other cases.
    """
    options, workdir = settings.eval, Workdir.of(workdir)
    directory = folder(workdir.folder, options.name)
    if jax.process_index() > 0:
        return ""
    table, cases = findings.read_table(directory), load_cases(options)
    check_judges(settings, workdir, cases)
    before, now = table["identity"].get("case_set_hash"), case_set_hash(cases)
    if before != now:
        raise CheckpointError(
            f"{directory}: answers to cases {before}, now {now}; wanted the same eval.benchmarks, "
            "root, modes, per_kind and seed as when they were asked"
        )
    identity = {**table["identity"], "judges": judges_text(settings, cases)}
    others = read_baselines(baselines, options.name, identity, [case.id for case in cases])
    own = (tables.BASE, tables.TUNED)
    said = [
        answer
        for answer in findings.read_answers(directory)
        if answer.model in own or answer.model.startswith(tables.BASE + defences.MARK)
    ]
    made = {**table["made"], "judges": identity["judges"]}
    made = {name: made[name] for name in FACTS if name in made}
    found = judge(settings, workdir, cases, said, made, identity, others)
    findings.write(directory, found, other_steps(directory, identity))
    return as_text(found.rows, max_depth=1)


def folder(workdir: Path, name: str) -> Path:
    """Where the evaluation is written.

    Raises:
      ConfigError: the name is no plain folder name.
    """
    if not name or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"eval.name: found {name!r}, wanted the plain name of a folder")
    return workdir / "eval" / name


def load_cases(options: config.Eval) -> list[Case]:
    """The cases of all benchmarks, attacks in every mode that is asked for.

    Raises:
      UserError: a benchmark is unknown or its set cannot be used, or no mode is asked for.
    """
    if not options.modes:
        raise ConfigError("eval.modes: found none, wanted at least one, e.g. ('image',)")
    cases = benchmarks.load(
        options.benchmarks,
        per_kind=options.per_kind,
        seed=options.seed,
        root=Path(options.root).expanduser() if options.root else None,
    )
    attacks = [case for case in cases if case.kind == "attack"]
    others = [case for case in cases if case.kind != "attack"]
    shown = [case for mode in dict.fromkeys(options.modes) for case in in_mode(attacks, mode)]
    return shown + others


def origins(
    names: Iterable[str],
    identity: Mapping[str, str],
    settings: config.Settings,
    parts: Manifest,
    tuned: Trained | None,
) -> dict[str, str]:
    """By the name of what is asked, a hash of all that its answers follow from."""
    asked = [identity["case_set_hash"], identity["decoding"]]
    base = [parts.base_weights, parts.template, parts.resolution, parts.code, settings.model.dtype]
    trained = {tables.TUNED: tuned.digest} if tuned else {}
    return {name: hash_json([name, asked, base, trained.get(name, "")]) for name in names}


def identity_of(
    settings: config.Settings, cases: Sequence[Case], parts: Manifest, tuned: Trained | None
) -> dict[str, str]:
    """What must be the same where two evaluations are compared; `step` may differ."""
    options = settings.eval
    return {
        "case_set_hash": case_set_hash(cases),
        "judges": judges_text(settings, cases),
        "decoding": hash_json([options.max_new_tokens, options.temperature, options.seed]),
        "base_weights": parts.base_weights,
        "step": str(tuned.step if tuned else 0),
    }


def judge_settings(settings: config.Settings, workdir: Workdir) -> config.JudgeSettings:
    """What judges are told, the place of their replies filled in."""
    cache = settings.judge.cache or str(workdir.folder / CACHE)
    return dataclasses.replace(settings.judge, cache=cache)


def check_judges(settings: config.Settings, workdir: Workdir, cases: Sequence[Case]) -> None:
    """Opens every judge, so that a wrong setting is found before anything is answered.

    Raises:
      ConfigError: there is no such judge, or it lacks a setting.
    """
    for name in judging.all_judges(settings.eval, cases):
        judges.find(name).open_judge(judge_settings(settings, workdir))


def judges_text(settings: config.Settings, cases: Sequence[Case]) -> str:
    """The judges by name, those that ask a model with whom they ask and what."""
    names = judging.all_judges(settings.eval, cases)
    return ", ".join(judges.identity(name, settings.judge) for name in names)


def ask(
    models: Mapping[str, Model],
    cases: Sequence[Case],
    settings: config.Settings,
    rows: Mapping[str, str],
    base_answers: Sequence[Answer],
    kept: Kept,
    stopped: Callable[[], bool],
) -> list[Answer]:
    """Every row's answers, those that are kept among them.

    Args:
      models: what is asked, by the name under which its answers are kept.
      cases: all of them.
      settings: of the run; how to decode, and whether progress is shown.
      rows: name of a row -> defence.
      base_answers: what the base said before.
      kept: what was answered before.
      stopped: asked after every round.
    """
    options = settings.eval

    def put(name: str, asked: Sequence[Case]) -> list[Answer]:
        logging.info("%s answers", name)
        return answers(
            models[name],
            asked,
            name=name,
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            batch_size=options.batch_size,
            seed=options.seed,
            kept=kept,
            stopped=stopped,
            shows=settings.progress and jax.process_index() == 0,
        )

    plain = list(base_answers) or put(tables.BASE, cases)
    said = list(plain)
    for row, name in rows.items():
        said += defences.defend(row, name, cases, plain, put)
    return said + (put(tables.TUNED, cases) if tables.TUNED in models else [])


def judge(
    settings: config.Settings,
    workdir: Workdir,
    cases: Sequence[Case],
    said: Sequence[Answer],
    made: Mapping[str, str],
    identity: Mapping[str, str],
    others: Sequence[Baseline] = (),
) -> Findings:
    """Adds what a blind guesser says, judges, joins the baselines, and counts."""
    options = settings.eval
    blind = [Answer(case.id, tables.BLIND, case.blind) for case in cases if case.blind is not None]
    said = [*blind, *said]
    told = judge_settings(settings, workdir)
    verdicts = judges.judge_all(cases, said, lambda case: judging.judges_of(options, case), told)
    said += [answer for other in others for answer in other.answers]
    verdicts += [verdict for other in others for verdict in other.verdicts]
    over = judging.over_limit(cases, verdicts, options.max_unjudged)
    return Findings(made, identity, cases, said, verdicts, tables.table(cases, verdicts), over)


def facts(
    settings: config.Settings, workdir: Workdir, tuned: Trained | None, judged_by: str
) -> dict[str, str]:
    """How the evaluation was made, for the report."""
    options = settings.eval
    made = {"workdir": str(workdir), "base model": settings.model.path}
    if tuned is not None:
        rank = f", rank {settings.lora.rank}" if settings.train.mode == "lora" else ""
        arm = f"{settings.data.path}, arm {settings.data.arm}, seed {settings.seed}"
        made |= {"checkpoint": f"step {tuned.step}", "trained on": arm}
        made |= {"trained": settings.train.mode + rank}
    return made | {
        "benchmarks": ", ".join(options.benchmarks),
        "modes": ", ".join(options.modes),
        "defences": ", ".join(options.defences) or "none",
        "judges": judged_by,
        "cases": f"{options.per_kind or 'all'} of each kind, seed {options.seed}",
        "decoding": f"temperature {options.temperature}, the same random numbers for all models; "
        f"{', '.join(GREEDY_KINDS)} greedy; at most {options.max_new_tokens} tokens",
        "program": f"vsfa_jax {__version__}, jax {jax.__version__} on {jax.default_backend()}",
    }


def main(
    settings: config.Settings,
    workdir: Workdir,
    baselines: Sequence[str] = (),
    judge_again: bool = False,
) -> None:
    """Runs under `core.main`.

    Raises:
      UnjudgedError: too much could not be judged.
    """
    run = rejudge if judge_again else evaluate
    table = run(settings, workdir, baselines=baselines)
    over = ""
    if jax.process_index() == 0:
        print(table)
        place = workdir.home / "eval" / settings.eval.name
        print(f"report: {place / 'report.html'}")
        over = unjudged_text(settings, workdir)
    over = from_first(over)
    if over:
        raise UnjudgedError(over)


def unjudged_text(settings: config.Settings, workdir: Workdir) -> str:
    """What is over the limit, "" where nothing is."""
    table = findings.read_table(folder(workdir.folder, settings.eval.name))
    over = [str(judging.Unjudged(**row)) for row in table["unjudged_over_limit"]]
    if not over:
        return ""
    most = f"{100 * settings.eval.max_unjudged:g} %"
    return f"more than {most} unjudged, so that rates may mislead: " + "; ".join(over)


if __name__ == "__main__":
    _baselines = flags.DEFINE_list("baselines", [], "Other workdirs, evaluated on the same cases.")
    _rejudge = flags.DEFINE_bool("rejudge", False, "Judge the answers that are there again.")
    entry.run(
        lambda settings, workdir: main(settings, workdir, _baselines.value, _rejudge.value),
        distributed=True,
    )
