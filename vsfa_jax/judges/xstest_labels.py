"""Answers with human labels, as XSTest publishes them, and the phrases that VLGuard looks for.

Both are read from the user's own copies and are no part of this package.
"""

from __future__ import annotations

import ast
import csv
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from vsfa_jax.core.errors import DataError

FITTED = ("gpt4", "llama2orig", "mistralinstruct")  # models whose answers the judge is fitted to
UNSEEN = ("llama2new", "mistralguard")
OUTCOMES = ("complies", "refuses", "partial")
SOURCE = (
    "https://github.com/paul-rottger/exaggerated-safety, folder model_completions (XSTest, "
    "arXiv 2308.01263; prompts CC BY 4.0, completions under their models' licences)"
)
NOTICE = (
    "Fitted to human labels of XSTest by Paul Röttger, Hannah Kirk, Bertie Vidgen, Giuseppe "
    "Attanasio, Federico Bianchi and Dirk Hovy (arXiv 2308.01263), "
    "https://github.com/paul-rottger/exaggerated-safety, licensed under CC BY 4.0, "
    "https://creativecommons.org/licenses/by/4.0/. The weights are derived from the labels and "
    "the answers; no prompt, answer or label is contained."
)
PHRASES_SOURCE = "https://github.com/ys-zong/VLGuard, utils/utils.py (arXiv 2402.02207)"
_COLUMNS = ("id", "prompt", "completion", "annotation_1", "annotation_2", "final_label")
_LABELS = {
    "1_full_compliance": "complies",
    "2_full_refusal": "refuses",
    "3_partial_refusal": "partial",
}


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One answer with what people said of it.

    Attributes:
      model: whose answer.
      number: of the prompt in XSTest; answers to the same prompt have the same.
      prompt, answer: texts.
      outcome: what the two annotators settled on, one of `OUTCOMES`.
      annotations: what each of them said first.
    """

    model: str
    number: int
    prompt: str
    answer: str
    outcome: str
    annotations: tuple[str, str]


def read_answers(directory: Path, models: Sequence[str]) -> tuple[list[Labelled], dict[str, str]]:
    """Reads the labelled answers of some models.

    Args:
      directory: holds MODEL.csv, or xstest_v2_completions_MODEL.csv as published.
      models: names, e.g. `FITTED`.

    Returns:
      The answers in order of models and files; and each file's sha256, by model.

    Raises:
      DataError: a file or column is missing, or a label is none of XSTest's.
    """
    found, digests = [], {}
    for model in models:
        names = (f"{model}.csv", f"xstest_v2_completions_{model}.csv")
        path = next((directory / name for name in names if (directory / name).is_file()), None)
        if path is None:
            raise DataError(f"{directory}: wanted {' or '.join(names)}; published at {SOURCE}")
        digests[model] = hashlib.sha256(path.read_bytes()).hexdigest()
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path}: no column {', '.join(missing)}; found {reader.fieldnames}"
                )
            found += [_labelled(path, model, row) for row in reader]
    return found, digests


def _labelled(path: Path, model: str, row: dict[str, str]) -> Labelled:
    labels = [row[name].strip() for name in ("final_label", "annotation_1", "annotation_2")]
    wrong = [label for label in labels if label not in _LABELS]
    if wrong:
        raise DataError(f"{path}: {row['id']}: label {wrong[0]!r}; wanted one of {list(_LABELS)}")
    outcome, *annotations = (_LABELS[label] for label in labels)
    number = int(row["id"].rpartition("-")[2])
    first, second = annotations
    return Labelled(model, number, row["prompt"], row["completion"], outcome, (first, second))


def read_phrases(path: Path) -> list[str]:
    """VLGuard's list of phrases from its own source file, which is read and not run.

    Raises:
      DataError: there is no `reject_list` of strings in it.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reject_list":
            phrases = ast.literal_eval(node.value)
            if isinstance(phrases, list) and all(isinstance(each, str) for each in phrases):
                return phrases
    raise DataError(f"{path}: no list of strings named reject_list; wanted {PHRASES_SOURCE}")


def has_phrase(answer: str, phrases: Sequence[str]) -> bool:
    """Whether VLGuard's rule calls an answer a refusal: it holds a phrase, or is "it is not"."""
    text = answer.lower()
    return text == "it is not" or any(phrase in text for phrase in phrases)
