"""The judge of choices: what is a choice, and what is none."""

import pytest

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.data.record import Message
from vsfa_jax.judges import choice

PETS = {"A": "a cat", "B": "a dog", "C": "a hot dog", "D": "5"}


def chosen(text, options=PETS):
    return choice.choose(text, options)[0]


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "B.",
        "(B)",
        "b",
        "(b).",
        "B) a dog",
        "B: a dog",
        "(B) a dog, as its ears say",
        "**B**",
        "Option B",
        "The answer is B",
        "The answer is (B).",
        "The correct answer is: B. It barks.",
        "Answer: (b)",
        "Looking at the ears, the answer is B, not A.",
        "It barks. Therefore I choose option B.",
        "The choice (B) is correct.",
        "Option B is the right one.",
        "a dog",
        "A dog.",
        "The answer is a dog.",
        "It is a dog.",
        "It must be (B)",
        "B\n\nThe animal barks, so (A) is wrong.",
        "I would say the picture shows the dog",
    ],
)
def test_one_choice_is_told(text):
    assert chosen(text) == "B"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " .",
        "I cannot tell.",
        "A or B",
        "(A) or (B)",
        "B, C",
        "A and B",
        "A. a dog",
        "(A) a cat\n(B) a dog\n(C) a hot dog\n(D) 5",
        "A. a cat B. a dog",
        "The answer is A. No, the answer is B.",
        "B. But then, the answer is (C).",
        "The answer is not B",
        "It is not a dog.",
        "It isn't a dog",
        "It is not true that the answer is B.",
        "a cat and a dog",
        "A bird.",
        "E",
        "The answer is E.",
        "The answer is a bird.",
        "15",
        "1/5",
        "-5",
        "4.5",
        "(A), (B)",
        "(A) or, as some say, (B)",
        "(a) The first part is so. (b) The second is not.",
        "I think so",
        "Answer the question",
        "Neither a cat nor a dog",
    ],
)
def test_no_choice_is_guessed(text):
    assert chosen(text) is None


def test_a_longer_option_is_not_the_shorter_one_in_it():
    assert chosen("It is a hot dog.") == "C"
    assert chosen("A hot dog and a dog") is None


def test_numbers_are_whole():
    numbers = {"A": "5", "B": "1.5", "C": "-5", "D": "$1,500"}
    wanted = {"5": "A", "1.5": "B", "It is 1.5": "B", "-5": "C", "$1,500": "D", "x = 5": "A"}
    assert {text: chosen(text, numbers) for text in wanted} == wanted


def test_options_that_are_letters_are_told_by_letter_alone():
    waves = {"A": "A", "B": "B", "C": "neither of the two"}
    assert chosen("So option B is the one with more of it.", waves) is None
    assert chosen("The answer is B.", waves) == "B"


def test_letters_that_are_words():
    options = {letter: f"text {letter}" for letter in "ABCDEFGHI"}
    assert chosen("I think it is text B", options) == "B"
    assert chosen("The answer is I.", options) == "I"
    assert chosen("A glance is enough", options) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("No, there is no dog.", "no"),
        ("Yes, there is no doubt.", "yes"),
        ("The answer is yes.", "yes"),
        ("Answer: No", "no"),
        ("**Yes**", "yes"),
        ("Yes and no", None),
        ("Yes or no", None),
        ("yes/no", None),
        ("Yes, no", None),
        ("Yes. The answer is no.", None),
        ("It is not so that the answer is yes", None),
        ("There is a dog.", None),
        ("nothing", None),
        ("Noted.", None),
        ("", None),
    ],
)
def test_yes_and_no(text, wanted):
    assert chosen(text, {}) == wanted


def judged(text, expected):
    case = Case("c1", "x", "vqa", "x", (), (Message("user", "?"),), expected)
    judge = choice.open_judge(None)
    (verdict,) = judge([(case, Answer("c1", "tuned", text))])
    assert (verdict.case_id, verdict.model, verdict.judge) == ("c1", "tuned", "choice")
    assert verdict.reason and verdict.score is None
    return verdict.outcome


def test_verdicts():
    assert judged("(B)", {"answer": "B", **PETS}) == "correct"
    assert judged("(C)", {"answer": "B", **PETS}) == "wrong"
    assert judged("a bird", {"answer": "B", **PETS}) == "unjudged"
    assert judged("No.", {"answer": "no"}) == "correct"
    assert judged("Yes.", {"answer": "no"}) == "wrong"
    assert judged("Perhaps", {"answer": "no"}) == "unjudged"


@pytest.mark.parametrize("expected", [{"answer": "E", **PETS}, {"answer": "red"}])
def test_a_case_that_is_no_choice_is_refused(expected):
    with pytest.raises(ValueError, match="no option"):
        judged("B", expected)
