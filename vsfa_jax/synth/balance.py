"""The table that proves the balance of the arms: what each of them holds, beside `threat`."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

from vsfa_jax.synth.rows import REFUSAL, THREAT, Slot


def measure(slots: Sequence[Slot], count: Callable[[str], int], tokenizer: str) -> dict[str, Any]:
    """What every arm of every split holds.

    Returns:
      {"tokenizer": its name, "splits": {split: {arm: {"rows", "with_image", "images",
      "question_tokens", "answer_tokens", "difference", "kinds"}}}}. "difference" is that of the
      answers' tokens from threat's, as a share of them; "kinds" counts rows by kind.
    """
    parts: dict[str, dict[str, list[Slot]]] = {}
    for slot in slots:
        parts.setdefault(slot.split, {}).setdefault(slot.arm, []).append(slot)
    splits: dict[str, dict[str, Any]] = {}
    for split, arms in parts.items():
        threat = sum(count(slot.answer) for slot in arms[THREAT])
        for arm, held in arms.items():
            answers = sum(count(slot.answer) for slot in held)
            splits.setdefault(split, {})[arm] = {
                "rows": len(held),
                "with_image": sum(bool(slot.picture) for slot in held),
                "images": len({slot.picture for slot in held if slot.picture}),
                "question_tokens": sum(count(slot.question) for slot in held),
                "answer_tokens": answers,
                "difference": answers / threat - 1,
                "kinds": dict(sorted(collections.Counter(slot.kind for slot in held).items())),
            }
    return {"tokenizer": tokenizer, "splits": splits}


def unbalanced(balance: dict[str, Any], most: float) -> list[str]:
    """What is not as the arms promise, one line each; empty where all is.

    Args:
      balance: what `measure` gave.
      most: the share by which tokens of answers may differ from threat's.
    """
    wrong = []
    for split, arms in balance["splits"].items():
        threat = arms[THREAT]
        for arm, held in arms.items():
            if held["rows"] != threat["rows"]:
                wrong.append(f"{split}, {arm}: {held['rows']} rows; threat has {threat['rows']}")
            if arm == REFUSAL:
                continue
            if held["kinds"] != threat["kinds"]:
                wrong.append(f"{split}, {arm}: kinds {held['kinds']}; not threat's")
            if abs(held["difference"]) > most:
                wrong.append(
                    f"{split}, {arm}: tokens of answers differ by {held['difference']:.2%}"
                )
    return wrong


def table(balance: dict[str, Any]) -> str:
    """The balance as a Markdown table a split."""
    parts = []
    for split, arms in balance["splits"].items():
        kinds = sorted({kind for held in arms.values() for kind in held["kinds"]})
        head = [
            "arm",
            "rows",
            "with image",
            "question tokens",
            "answer tokens",
            "vs threat",
            *kinds,
        ]
        lines = [f"### {split}", "", _line(head), _line(["---"] * len(head))]
        for arm, held in arms.items():
            numbers = [held[name] for name in ("rows", "with_image", "question_tokens")]
            tokens = [held["answer_tokens"], f"{held['difference']:+.2%}"]
            lines.append(
                _line([arm, *numbers, *tokens, *(held["kinds"].get(kind, 0) for kind in kinds)])
            )
        parts.append("\n".join(lines))
    return f"Tokens by `{balance['tokenizer']}`.\n\n" + "\n\n".join(parts) + "\n"


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
