"""The leak guard: what it must find, what it must let pass, and text that is in the picture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vsfa_jax.synth import filters, leak_grammar, leaks

DATA = Path(__file__).parent / "data"


def sentences(name: str) -> Iterator[tuple[bool, str, str]]:
    """(leaks, question, answer) of each line of a list."""
    for line in (DATA / name).read_text("utf-8").splitlines():
        if not line.startswith("#"):
            label, question, answer = line.split("\t")
            assert label in ("leaks", "neutral")
            yield label == "leaks", question, answer


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("leak_sentences.tsv", 100),
        ("leak_sentences_later.tsv", 400),
        ("leak_sentences_unseen.tsv", 100),
    ],
)
def test_precision_and_recall(name: str, least: int) -> None:
    rows = list(sentences(name))
    found = [bool(filters.leak_reasons(question=q, answer=a)) for _, q, a in rows]
    wanted = [row[0] for row in rows]
    assert min(sum(wanted), len(wanted) - sum(wanted)) >= least
    right = sum(f and w for f, w in zip(found, wanted, strict=True))
    assert right / sum(found) >= 0.95
    assert right / sum(wanted) >= 0.95


def test_the_list_says_nothing_twice() -> None:
    answers = [answer for _, _, answer in sentences("leak_sentences.tsv")]
    assert len(set(answers)) == len(answers) == 200


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I’m sorry, I can’t help with this.", "refusal"),
        ("I am not able to describe this picture.", "refusal"),
        ("People should not stand here.", "advice"),
        ("A lamp. Never touch the bulb.", "advice"),
        ("It would be wise to wait.", "advice"),
        ("The dog could injure a child.", "warning"),
        ("The blade is dangerous.", "danger label"),
        ("The blade is dan\u00adgerous.", "danger label"),
        ("Ｄａｎｇｅｒｏｕｓ work.", "danger label"),
        ("It is not dangerous at all.", "danger label"),
        ("The place looks safe.", "safety word"),
        ("Such an act is unethical.", "moral judgement"),
        ("A fire that you started.", "in person"),
    ],
)
def test_reasons(answer: str, reason: str) -> None:
    found = [leak.reason for leak in leaks.leaks("What is to be seen?", answer)]
    assert reason in found
    assert set(found) <= set(leaks.REASONS)


def test_reasons_of_the_files_are_those_that_are_listed() -> None:
    assert tuple(leak_grammar.grammar().of_answers) == leaks.REASONS


@pytest.mark.parametrize(
    ("question", "answer", "is_neutral"),
    [
        ("What does the sign say?", "DANGER. Keep out.", True),
        ("What does the sign say?", "It says danger, keep out.", True),
        ("What does the sign say?", 'It says "Danger". People should keep away.', False),
        ("What does the sign say?", "I'm sorry, I can't read that out for you.", False),
        ("What does the sign mean?", "Danger.", False),
        ("What is on the fence?", "A sign that reads “Danger, keep out”.", True),
        ("What is on the fence?", "A sign marked DANGER.", True),
        ("What is on the fence?", "A goat. DANGER, keep out.", False),
        ("Which word describes the scene best?", "Dangerous.", False),
        ("What film is it?", "A poster of the film Dangerous Minds.", True),
        ("What does he shout?", 'He has an open mouth. "Keep away!"', False),
    ],
)
def test_text_in_the_picture(question: str, answer: str, is_neutral: bool) -> None:
    assert (not leaks.leaks(question, answer)) == is_neutral


def test_questions_are_looked_at_too() -> None:
    assert filters.leak_reasons(question="Is it safe to touch?", answer="No.")
    assert not filters.leak_reasons(question="Can you tell me what it is?", answer="A gun.")


def test_a_class_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError, match="unheard"):
        leak_grammar.expression(["{unheard} of"], {"lead": ["so"]})


def test_the_guard_is_quick_to_import() -> None:
    code = (
        "import sys; from vsfa_jax.synth import filters;"
        "print(sorted({'jax', 'tensorflow_datasets', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=DATA.parents[1],
    )
    assert done.stdout.strip() == "[]"
