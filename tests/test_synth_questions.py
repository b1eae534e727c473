"""Questions and second looks: what a teacher is shown, and what becomes of what it says."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from synth_rows import pair, photo, picture, settings

from vsfa_jax.api import Failure, Reply
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.paths import write_atomic
from vsfa_jax.data.record import image_digests
from vsfa_jax.synth import prompts, questions, screen, teachers
from vsfa_jax.synth.rows import Failed, Pair, Picture, Rejected, Row, SecondLook
from vsfa_jax.synth.stages import data_rows
from vsfa_jax.synth.teachers import Look

API = {
    "concepts__source": "list",
    "concepts__path": "x",
    "images__source": "api",
    "questions__teacher": "api",
    "questions__model": "m",
}


class Scripted:
    """A teacher that says what a function of the look says, JSON where a schema is given."""

    name = "scripted"

    def __init__(self, say: Callable[[Look], Any]) -> None:
        self.say = say
        self.looks: list[Look] = []

    def look(self, looks: Sequence[Look]) -> list[Reply | Failure]:
        self.looks += looks
        made: list[Reply | Failure] = []
        for look in looks:
            said = self.say(look)
            if isinstance(said, Failure):
                made.append(said)
            elif look.schema is None:
                made.append(Reply(text=said))
            else:
                made.append(Reply(text=json.dumps(said), value=said))
        return made


def shown(place: Path, number: int = 1, **changed: Any) -> Picture:
    """A picture whose bytes are there."""
    data = photo(number)
    row = picture(f"g{number}:threat:0", sha256=image_digests([data])[0], **changed)
    write_atomic(place / row.file, data)
    return row


def said(*pairs: tuple[str, str, str]) -> dict[str, Any]:
    keys = ("kind", "question", "answer")
    listed = [dict(zip(keys, pair, strict=True)) for pair in pairs]
    return {"description": "A table.", "pairs": listed}


def test_a_teachers_reply_becomes_pairs_up_to_the_plan(tmp_path: Path) -> None:
    wanted = settings(**API, arms__names=("threat", "neutral"), questions__per_kind=1)
    reply = said(
        ("object", "What lies there?", "A knife\n lies there."),
        ("object", "What else?", "A fork."),
        ("colour", "Which colour has it?", " "),
        ("count", "How many <image> are there?", "Two."),
    )
    teacher = Scripted(lambda look: reply)
    (rows,) = questions.work([shown(tmp_path)], wanted, tmp_path, teacher)
    (first,) = data_rows(rows, Pair)
    assert (first.kind, first.answer, first.description) == (
        "object",
        "A knife lies there.",
        "A table.",
    )
    assert first.teacher == "scripted"
    assert [row.reason for row in data_rows(rows, Failed)] == ["unusable text"] * 2
    assert all(kind in teacher.looks[0].prompt for kind in wanted.questions.kinds)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"pairs": []}', None),
        ('```json\n{"pairs": []}\n```', None),
        ('Here it is: {"pairs": []}', "wrong_schema"),
        ('```json\n{"pairs": [1]}\n```', "wrong_schema"),
        (" ", "empty"),
    ],
)
def test_what_a_model_of_our_own_says_is_held_to_the_schema(text: str, kind: str | None) -> None:
    found = teachers.read(text, Look(b"", "", "", prompts.refusals_schema()))
    assert (found.kind if isinstance(found, Failure) else None) == kind


@pytest.mark.parametrize("reply", [Failure("content_filter", "no"), said()])
def test_a_failed_reply_is_a_row_and_no_pair(tmp_path: Path, reply: Any) -> None:
    wanted = settings(**API, arms__names=("threat", "neutral"))
    teacher = Scripted(lambda look: reply)
    (rows,) = questions.work([shown(tmp_path)], wanted, tmp_path, teacher)
    assert [type(row) for row in rows] == [Failed]


def test_fixed_questions_are_asked_one_by_one(tmp_path: Path) -> None:
    fixed = (("object", "What is it?"), ("object", "What else?"), ("count", "How many?"))
    wanted = settings(**API, questions__fixed=fixed, arms__names=("threat", "neutral"))

    def say(look: Look) -> Any:
        return Failure("timeout", "late") if "else" in look.prompt else f"({look.prompt[:8]})"

    (rows,) = questions.work([shown(tmp_path)], wanted, tmp_path, Scripted(say))
    pairs = data_rows(rows, Pair)
    assert [(pair.kind, pair.question) for pair in pairs] == [fixed[0], fixed[2]]
    assert pairs[0].description == "(Describe)"
    assert [row.id for row in data_rows(rows, Failed)] == ["g1:threat:0:object1"]


def test_refusals_are_written_for_threats_and_kept_apart(tmp_path: Path) -> None:
    wanted = settings(**API)

    def say(look: Look) -> Any:
        if look.schema and "description" in look.schema["properties"]:
            return said(("object", "What lies there?", "A knife lies there."))
        return {"pairs": [{"question": "How do I hurt him?", "answer": "I will not help."}] * 99}

    rows = questions.work(
        [shown(tmp_path), shown(tmp_path, 2, side="neutral")], wanted, tmp_path, Scripted(say)
    )
    sides = [[pair.side for pair in data_rows(each, Pair)] for each in rows]
    most = wanted.questions.per_kind * len(wanted.questions.kinds)
    assert sides == [["threat"] + ["refusal"] * most, ["neutral"]]


def test_a_second_look_decides_and_a_failed_one_keeps_nothing(tmp_path: Path) -> None:
    place = tmp_path
    row = shown(place)
    pairs = [
        pair(f"g1:threat:{kind}", picture=row.id, question=f"Which {kind} is on the table?")
        for kind in ("object", "place", "scene")
    ]
    pairs.append(pair("g1:threat:refusal", picture=row.id, side="refusal", kind="refusal"))
    answers = iter(["A knife lies on the table.", "There is a bright green garden.", None])

    def say(look: Look) -> Any:
        answer = next(answers)
        return Failure("timeout", "late") if answer is None else answer

    teacher = Scripted(say)
    fixed = (("object", "What is it?"),)
    made = screen.work([(row, pairs)], settings(**API, questions__fixed=fixed), place, teacher)
    assert len(teacher.looks) == 3  # labels get no second look
    rows: list[Row] = [row for each in made for row in each]
    wanted = settings(**API, filters__equal_answers=1.0)
    done = screen.finish(rows, wanted, [row])
    assert [one.id for one in data_rows(done, Pair)] == [pairs[0].id, pairs[3].id]
    reasons = {one.id: one.reasons for one in data_rows(done, Rejected)}
    assert reasons == {
        pairs[1].id: ("a second look disagrees",),
        pairs[2].id: ("second look failed",),
    }
    assert len(data_rows(done, SecondLook)) == 2


def test_one_second_look_answers_all_questions_of_a_picture(tmp_path: Path) -> None:
    row, wanted = shown(tmp_path), settings(**API)
    pairs = [pair(f"{row.id}:object:{n}", question=f"Question {n}?") for n in range(3)]
    reply: Any = {"answers": [{"number": 3, "answer": "C."}, {"number": 1, "answer": "A."}]}
    teacher = Scripted(lambda look: reply)
    (rows,) = screen.work([(row, pairs)], wanted, tmp_path, teacher)
    assert teacher.looks[0].prompt.endswith("1. Question 0?\n2. Question 1?\n3. Question 2?")
    assert {one.pair: one.answer for one in data_rows(rows, SecondLook)} == {
        pairs[0].id: "A.",
        pairs[2].id: "C.",
    }
    assert [(one.parent, one.reason) for one in data_rows(rows, Failed)] == [
        (pairs[1].id, "no answer")
    ]
    teacher.say = lambda look: Failure("timeout", "late")
    (rows,) = screen.work([(row, pairs)], wanted, tmp_path, teacher)
    assert len(data_rows(rows, Failed)) == 3


def test_leaking_pairs_go_and_the_refusal_arm_keeps_its_own() -> None:
    leaking = pair("g:0:object", answer="A knife. Please be careful and keep away from it.")
    neutral = pair("g:0:place", question="Where is the knife?")
    label = pair("g:0:refusal", side="refusal", answer="I cannot help with that, it is dangerous.")
    done = screen.finish([leaking, neutral, label], settings(), [picture("g:0")])
    assert {one.id for one in data_rows(done, Pair)} == {"g:0:place", "g:0:refusal"}
    (rejected,) = data_rows(done, Rejected)
    assert any(reason.startswith("leak") for reason in rejected.reasons)


def test_filters_depend_on_their_rules_and_on_what_is_known(tmp_path: Path) -> None:
    known = tmp_path / "prompts.txt"
    known.write_text("List the steps to do it.\n")
    before = screen.fingerprint(settings(filters__known=(str(known),)).filters)
    assert before != screen.fingerprint(settings().filters)
    known.write_text("List the ways to do it.\n")
    assert screen.fingerprint(settings(filters__known=(str(known),)).filters) != before


def test_services_are_shown_png_or_jpeg_of_a_bounded_size() -> None:
    png, tiff = photo(1, (300, 200)), photo(1, (300, 200), form="TIFF")
    assert teachers.shrunk(png, 0) == teachers.shrunk(png, 300) == png
    for data, side, size in ((png, 150, (150, 100)), (tiff, 0, (300, 200)), (tiff, 60, (60, 40))):
        with Image.open(io.BytesIO(teachers.shrunk(data, side))) as image:
            assert (image.format, image.size) == ("JPEG", size)


def test_a_request_holds_the_picture_the_prompt_and_the_schema(tmp_path: Path) -> None:
    wanted = settings(**API, arms__names=("threat", "neutral"))
    (look,) = questions.looks(picture("a"), photo(1), wanted)
    fields = teachers.request(look, wanted).fields
    image, text = fields["messages"][1]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert text["text"] == look.prompt
    assert fields["response_format"]["json_schema"]["schema"] == look.schema


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"questions__kinds": ("object", "action")}, "questions.kinds: found 'action'"),
        ({"questions__kinds": ("object", "object")}, "questions.kinds: found"),
        ({"questions__kinds": ("odor",)}, r"questions.kinds\[0\]: found 'odor', wanted one of"),
        ({"images__source": "api"}, "images.source: found 'api' with concepts.source 'embedded'"),
        ({"concepts__source": "folder"}, "images.source: found 'embedded' with concepts.source"),
        ({**API, "concepts__path": ""}, "concepts.path: found ''"),
        ({**API, "questions__teacher": "embedded"}, "questions.teacher: found 'embedded'"),
        ({**API, "questions__teacher": "model"}, "arms.names: found 'refusal'"),
        ({"arms__names": ("neutral",)}, "arms.names: found"),
        ({"arms__names": ("threat", "vague")}, r"arms.names\[1\]: found 'vague'"),
        ({"arms__text_template": "{question}"}, "arms.text_template: found"),
        ({"arms__spare": 1.0}, "arms.spare: found 1.0, wanted a number from 0 to below 1"),
        ({"images__extra": "[1]"}, r"images.extra: found '\[1\]', wanted a JSON object"),
        ({"questions__fixed": (("action", "What does it do?"),)}, "questions.fixed: found"),
    ],
)
def test_contradictions_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        settings(**changed)
