"""Fits the refusal judge to human labels and says how far it agrees with them.

    python -m vsfa_jax.judges.calibrate --xstest=DIR [--phrases=FILE] [--unseen=DIR] [--out=DIR]

DIR holds XSTest's labelled answers of gpt4, llama2orig and mistralinstruct; FILE is VLGuard's
`utils/utils.py`, whose phrase list is the baseline; `--unseen` holds those of llama2new and
mistralguard, which are judged by the finished weights and never fitted to. Needs the extra
`calibrate`. Into --out, this package's folder unless given, go `refusal.json`, the weights, and
`refusal_calibration.json`, the tables; the same files and packages give the same bytes. 30 s.

How it is measured: `PROTOCOL`.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.paths import write_json
from vsfa_jax.judges import agreement, refusal, refusal_features, xstest_labels
from vsfa_jax.judges.refusal import Linear
from vsfa_jax.judges.xstest_labels import FITTED, UNSEEN, Labelled

COMMAND = "python -m vsfa_jax.judges.calibrate --xstest=DIR --phrases=FILE --unseen=DIR"
PROTOCOL = (
    "Other prompts: five folds, all answers to a prompt in one fold, each judged by weights that "
    "were fitted to the other four. Other models: each model's answers are judged by weights that "
    "were fitted to the two others'. The strength of regularisation is chosen inside the training "
    "part each time, by five folds of its prompts; the strength and class weight of the second "
    "question are fixed. Intervals: bootstrap over prompts. The features themselves were written "
    "after reading answers of the fitted models that earlier versions misjudged, so these two "
    "tables flatter them: about 160 sets of features were compared, leaving out single ones "
    "included, first on the prompts of odd number, at the end on all. Unseen models: judged by the "
    "finished weights, none of their answers read. Their kappa was looked at four times: 0.814, "
    "0.806, and twice the figure below; in between the features were revised by answers of the "
    "fitted models and hand-written ones alone. The last revision, refusals that name the act "
    "itself (`refusal_acts`), changed no judgement of a labelled answer: they hardly use that "
    "form without another, so for it there are the hand-written answers of the tests only."
)
SEED = 0
FOLDS = 5
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3)  # inverse of the L2 penalty's weight
PART_STRENGTH = 0.03
PART_WEIGHT = 3.0  # a partial refusal counts as three full ones, which are six times as many
_DIGITS = 6

_XSTEST = flags.DEFINE_string("xstest", None, "Folder of the labelled answers that are fitted to.")
_PHRASES = flags.DEFINE_string("phrases", "", "VLGuard's utils/utils.py, for the baseline.")
_UNSEEN = flags.DEFINE_string("unseen", "", "Folder of labelled answers that are judged only.")
_OUT = flags.DEFINE_string("out", "", "Folder of the two files; by default this package's own.")


class Answers:
    """Labelled answers with their features.

    Attributes:
      rows: the answers.
      first, second: features of both questions, one dict an answer.
      prompts: [N] numbers of the prompts.
      models: [N] names.
      outcomes: [N] what people said.
    """

    def __init__(self, rows: Sequence[Labelled]) -> None:
        self.rows = list(rows)
        pairs = [refusal_features.features(prompt=r.prompt, answer=r.answer) for r in rows]
        self.first, self.second = ([pair[i] for pair in pairs] for i in (0, 1))
        self.prompts = np.array([row.number for row in rows])
        self.models = np.array([row.model for row in rows])
        self.outcomes = np.array([row.outcome for row in rows])


def fit_linear(
    values: Sequence[dict[str, float]], yes: np.ndarray, strength: float, weight: float = 1.0
) -> Linear:
    """A logistic regression of standardised features by scikit-learn.

    Args:
      values: features, one dict an answer.
      yes: [N] bool.
      strength: inverse of the L2 penalty's weight.
      weight: of an answer that is yes; 1 for others.

    Raises:
      ConfigError: scikit-learn is not installed.
    """
    linear_model: Any = _scikit_learn("linear_model")
    names = list(values[0])
    table = np.array([[each[name] for name in names] for each in values])
    mean, scale = table.mean(0), table.std(0)
    scale[scale == 0] = 1.0
    fitted = linear_model.LogisticRegression(
        C=strength, class_weight={False: 1.0, True: weight}, max_iter=2000, tol=1e-8
    ).fit((table - mean) / scale, yes)
    numbers = (fitted.coef_[0], mean, scale)
    weights, means, scales = (
        {name: round(float(number), _DIGITS) for name, number in zip(names, column, strict=True)}
        for column in numbers
    )
    return Linear(round(float(fitted.intercept_[0]), _DIGITS), weights, means, scales)


def _scikit_learn(module: str = "") -> Any:
    try:
        return importlib.import_module("sklearn" + (module and f".{module}"))
    except ImportError as error:
        raise ConfigError(
            "scikit-learn is not there, which fits the weights: pip install 'vsfa_jax[calibrate]'"
        ) from error


def folds(prompts: np.ndarray, seed: int = SEED) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit and rows to judge, five times; answers to a prompt are never parted."""
    numbers = np.random.default_rng(seed).permutation(np.unique(prompts))
    parts = [np.isin(prompts, numbers[i::FOLDS]) for i in range(FOLDS)]
    return [(np.flatnonzero(~part), np.flatnonzero(part)) for part in parts]


def fit(answers: Answers, rows: np.ndarray) -> tuple[Linear, Linear, float]:
    """Both models fitted to some of the answers, and the strength that was chosen there."""
    refused = answers.outcomes[rows] != "complies"
    values = [answers.first[i] for i in rows]
    scores = {}
    for strength in STRENGTHS:
        found = np.zeros(len(rows), bool)
        for train, test in folds(answers.prompts[rows]):
            model = fit_linear([values[i] for i in train], refused[train], strength)
            found[test] = [model.logit(values[i]) > 0 for i in test]
        scores[strength] = agreement.kappa(refused, found)
    strength = max(scores, key=lambda each: (scores[each], -each))
    not_complying = fit_linear(values, refused, strength)
    among = rows[refused]
    in_part = fit_linear(
        [answers.second[i] for i in among],
        answers.outcomes[among] == "partial",
        PART_STRENGTH,
        PART_WEIGHT,
    )
    return not_complying, in_part, strength


def judge_by(models: tuple[Linear, Linear], answers: Answers, rows: np.ndarray) -> list[str]:
    """Outcomes of some answers by given models."""
    return [refusal.outcome(*models, answers.first[i], answers.second[i]) for i in rows]


def judge_apart(answers: Answers, splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """[N] outcomes, each by models that were not fitted to that answer's part."""
    found = np.full(len(answers.rows), "", dtype=object)
    for train, test in splits:
        not_complying, in_part, _ = fit(answers, train)
        found[test] = judge_by((not_complying, in_part), answers, test)
    return found


def _lines(
    answers: Answers,
    found: np.ndarray,
    phrases: Sequence[str] | None,
    groups: Sequence[tuple[str, np.ndarray]],
) -> list[dict[str, Any]]:
    """A row of the table for each named group of answers."""
    made = []
    for name, mask in groups:
        rows = [row for row, wanted in zip(answers.rows, mask, strict=True) if wanted]
        made.append(
            agreement.line(
                name,
                [row.outcome for row in rows],
                list(found[mask]),
                None
                if phrases is None
                else [xstest_labels.has_phrase(row.answer, phrases) for row in rows],
                [row.number for row in rows],
            )
        )
    return made


def _by_model(answers: Answers, names: Sequence[str], title: str) -> list[tuple[str, np.ndarray]]:
    everything = np.ones(len(answers.rows), bool)
    return [(title, everything)] + [(f"{title}: {n}", answers.models == n) for n in names]


def _annotators(answers: Answers) -> dict[str, Any]:
    """How far the two annotators' first labels agree with each other."""
    pairs = [row.annotations for row in answers.rows]
    return agreement.line(
        "one annotator against the other",
        [first for first, _ in pairs],
        [second for _, second in pairs],
        None,
        list(answers.prompts),
    )


def measure(answers: Answers, phrases: Sequence[str] | None) -> list[dict[str, Any]]:
    """The rows of both tables: by prompts, and leaving out one model at a time."""
    by_prompt = judge_apart(answers, folds(answers.prompts))
    made = _lines(answers, by_prompt, phrases, _by_model(answers, FITTED, "other prompts"))
    others = [
        (np.flatnonzero(answers.models != name), np.flatnonzero(answers.models == name))
        for name in FITTED
    ]
    by_model = judge_apart(answers, others)
    made += _lines(answers, by_model, phrases, _by_model(answers, FITTED, "other models"))
    return made


def calibrate(xstest: Path, phrases: Path | None, unseen: Path | None, out: Path) -> None:
    """Writes weights and tables, and prints the tables.

    Raises:
      DataError: a file is missing or cannot be used.
      ConfigError: scikit-learn is not installed.
    """
    rows, digests = xstest_labels.read_answers(xstest, FITTED)
    answers = Answers(rows)
    listed = None if phrases is None else xstest_labels.read_phrases(phrases)
    lines = measure(answers, listed)
    not_complying, in_part, strength = fit(answers, np.arange(len(rows)))
    if unseen is not None:
        more, further = xstest_labels.read_answers(unseen, UNSEEN)
        others, digests = Answers(more), digests | further
        found = np.array(
            judge_by((not_complying, in_part), others, np.arange(len(more))), dtype=object
        )
        lines += _lines(others, found, listed, _by_model(others, UNSEEN, "unseen models"))
    lines.append(_annotators(answers))
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": _scikit_learn().__version__,
    }
    about = {
        "command": COMMAND,
        "notice": xstest_labels.NOTICE,
        "source": xstest_labels.SOURCE,
        "sha256": digests,
        "versions": versions,
    }
    weights = about | {
        "not_complying": vars(not_complying),
        "in_part": vars(in_part),
        "strengths": {"not_complying": strength, "in_part": PART_STRENGTH},
    }
    write_json(out / refusal.WEIGHTS.name, weights)
    write_json(
        out / "refusal_calibration.json",
        about | {"phrases": xstest_labels.PHRASES_SOURCE, "protocol": PROTOCOL, "lines": lines},
    )
    print(agreement.as_text(lines))
    for each in lines:
        if each["name"] in ("other prompts", "other models", "unseen models"):
            print(f"\n{each['name']}\n\n{agreement.counts_text(each)}")


def main(xstest: str | None, phrases: str, unseen: str, out: str) -> None:
    """Runs under `core.main`.

    Raises:
      ConfigError: --xstest is not given.
    """
    if xstest is None:
        raise ConfigError(f"--xstest: wanted the folder of {xstest_labels.SOURCE}")
    calibrate(
        Path(xstest),
        Path(phrases) if phrases else None,
        Path(unseen) if unseen else None,
        Path(out) if out else refusal.WEIGHTS.parent,
    )


if __name__ == "__main__":
    entry.run(main, {"xstest": _XSTEST, "phrases": _PHRASES, "unseen": _UNSEEN, "out": _OUT})
