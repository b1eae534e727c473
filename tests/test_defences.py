"""What each defence asks, and what becomes of the answers."""

import dataclasses

import pytest
from findings import make_case

from vsfa_jax import defences
from vsfa_jax.benchmarks.case import Answer
from vsfa_jax.data.record import IMAGE_MARK, Message
from vsfa_jax.defences import adashield_s, ecso, system_prompt


class Base:
    """Says what it is told for a stage, and keeps what it was asked."""

    def __init__(self, **says):
        self.says, self.asked = says, {}

    def put(self, name, cases):
        self.asked[name] = list(cases)
        says = self.says[name.rpartition("/")[2]]
        return [Answer(c.id, name, says(c) if callable(says) else says) for c in cases]


@pytest.fixture
def cases():
    shown = [make_case(number, "attack", "page") for number in range(3)]
    return [*shown, dataclasses.replace(shown[0], id="text", images=(), messages=shown[0].messages)]


def plain(cases):
    return [Answer(case.id, "base", f"plain {case.id}") for case in cases]


def test_every_defence_answers_every_case_once(cases):
    for name in defences.names():
        row = f"base+{name}"
        base = Base(**{row: "a", "check": "Yes.", "caption": "a knife"})
        said = defences.defend(row, name, cases, plain(cases), base.put)
        assert [(answer.case_id, answer.model) for answer in said] == [(c.id, row) for c in cases]
        assert set(base.asked) <= set(defences.stages(row, name))
        for asked in base.asked.values():
            for case in asked:
                marks = sum(m.content.count(IMAGE_MARK) for m in case.messages)
                assert marks == len(case.images) or case.id == "text"


def test_a_system_message_comes_before_the_turns(cases):
    base = Base(row="a")
    defences.defend("row", "system_prompt", cases[:1], plain(cases[:1]), base.put)
    (asked,) = base.asked["row"]
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert asked.messages[0].content == system_prompt.PROMPT
    assert asked.id == cases[0].id  # so that it samples as the base does
    told = dataclasses.replace(cases[0], messages=(Message("system", "Ann"), *cases[0].messages))
    assert defences.with_system(told, "Be kind.").messages[0].content == "Be kind.\n\nAnn"


def test_adashield_stands_between_image_and_question(cases):
    base = Base(row="a")
    defences.defend("row", "adashield_s", cases[:1], plain(cases[:1]), base.put)
    question = base.asked["row"][0].question
    assert question.startswith(IMAGE_MARK + "\n" + adashield_s.PROMPT)
    assert question.endswith("question 0 of page ?")


def test_ecso_asks_again_without_the_image_only_where_harm_was_found(cases):
    checks = {cases[0].id: "No, it is fine.", cases[1].id: "Yes", cases[2].id: "I cannot say"}
    base = Base(
        check=lambda case: checks[case.id.removesuffix("#check")], caption="A page.", row="safe"
    )
    said = {
        a.case_id: a.text for a in defences.defend("row", "ecso", cases, plain(cases), base.put)
    }
    assert said == {
        cases[0].id: f"plain {cases[0].id}",
        cases[1].id: "safe",
        cases[2].id: "safe",
        "text": "plain text",
    }
    assert [case.id for case in base.asked["row/check"]] == [f"{c.id}#check" for c in cases[:3]]
    assert all(case.kind == ecso.GREEDY for case in base.asked["row/check"])
    assert "plain" in base.asked["row/check"][0].question
    assert len(base.asked["row/caption"]) == 2
    assert all(not case.images for case in base.asked["row"])
    assert base.asked["row"][0].question == "A page. question 1 of page ?"


def test_ecso_takes_marks_out_of_what_a_model_said(cases):
    base = Base(check="yes", caption=f"A {IMAGE_MARK} page.", row="safe")
    said = [Answer(cases[0].id, "base", f"see {IMAGE_MARK}")]
    defences.defend("row", "ecso", cases[:1], said, base.put)
    assert base.asked["row/check"][0].question.count(IMAGE_MARK) == 1
    assert IMAGE_MARK not in base.asked["row"][0].question
    empty = Base(check="yes", caption="", row="safe")
    defences.defend("row", "ecso", cases[:1], said, empty.put)
    assert empty.asked["row"][0].question == "question 0 of page ?"
