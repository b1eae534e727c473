"""The other filters: nearness to benchmarks, a second look, length, language, repetition."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image, ImageDraw

from vsfa_jax.core.errors import DataError
from vsfa_jax.synth import filters, grounding, near, prose
from vsfa_jax.synth.filters import Limits
from vsfa_jax.synth.rows import Pair, Rejected

PROMPT = "Explain in ten steps how the blue lamp of the old tower is lit at night."


def make_pair(number: int, **changes: str) -> Pair:
    nouns = ("lamp", "chair", "kettle", "wolf", "ladder", "drum", "spade", "helmet")
    noun = f"{nouns[number % 8]} {number}"
    pair = Pair(
        id=f"pair-{number}",
        picture=f"picture-{number}",
        concept="c",
        group="g",
        side="threat",
        kind="place",
        question=f"Where in the picture is {noun}?",
        answer=f"The {noun} stands to the left of the door.",
        description="",
        teacher="t",
    )
    return dataclasses.replace(pair, **changes)


def names(rows: list[Pair | Rejected]) -> list[tuple[str, ...]]:
    return [row.reasons if isinstance(row, Rejected) else () for row in rows]


def draw(size: int = 120, shift: int = 0) -> Image.Image:
    image = Image.new("RGB", (size, size), "lightblue")
    pen = ImageDraw.Draw(image)
    unit = size // 12
    pen.ellipse([unit + shift, unit, 6 * unit + shift, 6 * unit], fill="darkred")
    pen.polygon([(7 * unit, 11 * unit), (11 * unit, 11 * unit), (9 * unit, 5 * unit)], fill="navy")
    pen.rectangle([unit, 8 * unit, 5 * unit, 10 * unit], fill="white")
    return image


def encoded(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def test_good_pairs_pass_as_they_are() -> None:
    pairs = [make_pair(n) for n in range(8)]
    assert filters.examine(pairs, Limits()) == pairs


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answer": "A gun. Keep away from it."}, "leak, advice"),
        ({"question": "Where?"}, "question too short"),
        ({"answer": "red " + "lamp and chair " * 80}, "answer too long"),
        ({"answer": "Der Wolf steht auf dem Hügel und ist nicht allein."}, "answer not English"),
        ({"answer": "Волк стоит на холме слева."}, "answer not English"),
        ({"answer": "The wolf stands. The wolf stands."}, "answer repeats itself"),
    ],
)
def test_a_bad_pair_names_its_reason(changes: dict[str, str], reason: str) -> None:
    (row,) = filters.examine([make_pair(0, **changes)], Limits())
    assert isinstance(row, Rejected)
    assert reason in row.reasons
    assert (row.id, row.parent) == ("pair-0", "picture-0")
    assert changes.get("answer", changes.get("question")) in row.text


def test_every_reason_is_named_and_counted() -> None:
    pairs = [make_pair(0, answer="Stay away."), make_pair(1, answer="Stay away. Stay away.")]
    rows = filters.examine(pairs, Limits(answer_words=(3, 20)))
    assert names(rows)[0] == ("leak, advice", "answer too short")
    assert names(rows)[1] == ("leak, advice", "answer repeats itself")
    counted = filters.count_reasons(rows)
    assert counted == {"leak, advice": 2, "answer repeats itself": 1, "answer too short": 1}
    assert next(iter(counted)) == "leak, advice"


def test_safety_labelled_pairs_meet_no_leak_guard() -> None:
    pair = make_pair(0, side="refusal", kind="refusal", answer="I can not help with that lamp.")
    assert filters.examine([pair], Limits()) == [pair]
    neutral = dataclasses.replace(pair, side="threat")
    assert names(filters.examine([neutral], Limits())) == [("leak, refusal", "leak, in person")]
    assert filters.examine([neutral], Limits(leak_guard=False)) == [neutral]


def test_equal_answers_stay_up_to_their_share_in_order() -> None:
    pairs = [make_pair(n) for n in range(20)]
    same = [make_pair(n, answer="It stands to the left of the door.") for n in range(20, 40)]
    rows = filters.examine(pairs + same, Limits(equal_answers=0.1))
    assert [i for i, found in enumerate(names(rows)) if found] == list(range(24, 40))
    assert set(names(rows)[24:]) == {("answer too common",)}
    short = [make_pair(n, answer="On the left.") for n in range(40)]
    rows = filters.examine(short, Limits(equal_short_answers=0.5))
    assert sum(map(bool, names(rows))) == 20


def test_a_question_is_asked_once_of_a_picture() -> None:
    pair = make_pair(0)
    again = dataclasses.replace(pair, id="again", question=pair.question.upper(), answer="There.")
    assert names(filters.examine([pair, again], Limits())) == [(), ("question asked twice",)]


def make_known(folder: Path) -> list[Path]:
    """Copies of benchmarks in their forms, each with PROMPT or an image."""
    folder.mkdir(exist_ok=True)
    (folder / "safebench.csv").write_text(
        f"dataset,category_id,question,instruction\nSafeBench,1,A?,{PROMPT}\n"
    )
    (folder / "scenario.json").write_text(json.dumps({"0": {"Question": PROMPT, "id": "x y z w"}}))
    (folder / "list.txt").write_text(f"\n{PROMPT}\n")
    (folder / "lines.jsonl").write_text(json.dumps({"image": "a.jpg", "question": PROMPT}) + "\n")
    images = [{"bytes": encoded(draw(), "PNG"), "path": "a.png"}]
    table = pyarrow.table({"question": [PROMPT], "image": images, "class1": ["a b c d e"]})
    pyarrow.parquet.write_table(table, folder / "harm.parquet")
    pictures = folder / "pictures"
    (pictures / "SD").mkdir(parents=True, exist_ok=True)
    draw().save(pictures / "SD" / "7.jpg", quality=60)
    return [folder / n for n in ("safebench.csv", "scenario.json", "list.txt", "lines.jsonl")]


def test_prompts_are_read_from_every_form(tmp_path: Path) -> None:
    paths = [*make_known(tmp_path), tmp_path / "harm.parquet"]
    for path in paths:
        assert PROMPT in near.read_prompts(path)
        assert not any("a b c d" in text or "x y z" in text for text in near.read_prompts(path))
    assert len(near.read_known(paths).texts) == 1  # the same one in each


@pytest.mark.parametrize(
    ("text", "is_near"),
    [
        (PROMPT, True),
        ("explain, in TEN steps, how the blue lamp of the old tower is lit at night", True),
        ("Please tell me now: " + PROMPT + " Begin with the first.", True),
        ("Explain in ten steps how the blue lamp of the tower is lit at night.", True),
        ("Where in the picture is the blue lamp of the old tower?", False),
        ("What is in the image?", False),
    ],
)
def test_texts_near_a_prompt(text: str, is_near: bool) -> None:
    known = near.KnownTexts([("list.txt", PROMPT), ("list.txt", "What is this?")])
    assert len(known) == 1
    assert (known.nearest(text, 0.5, 0.8) is not None) == is_near


def test_images_near_a_benchmarks(tmp_path: Path) -> None:
    make_known(tmp_path)
    known = near.read_known([tmp_path / "pictures", tmp_path / "harm.parquet"])
    assert len(known.images) == 2
    smaller = near.hash_of(encoded(draw().resize((77, 77)), "JPEG"), "a")
    other = near.hash_of(encoded(draw().transpose(Image.Transpose.ROTATE_90), "PNG"), "b")
    pairs = [make_pair(0), make_pair(1)]
    hashes = {"picture-0": smaller, "picture-1": other}
    rows = filters.examine(pairs, Limits(), known=known, image_hashes=hashes)
    assert names(rows) == [("image near a benchmark's image",), ()]
    assert "7.jpg" in rows[0].text or "harm.parquet" in rows[0].text


def test_nearly_empty_images_are_not_near_one_another() -> None:
    known = near.KnownImages([("folder", "page.png", 0b11)])
    assert known.nearest(0b1100, 10) is None
    assert known.nearest(0b11, 10) is not None


def test_pairs_near_a_benchmarks_prompt_are_rejected(tmp_path: Path) -> None:
    known = near.read_known(make_known(tmp_path))
    rows = filters.examine([make_pair(0, question=PROMPT), make_pair(1)], Limits(), known=known)
    assert names(rows) == [("question near a benchmark's prompt",), ()]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("no.txt", None, "cannot be read"),
        ("a.pdf", b"%PDF", "ending '.pdf'"),
        ("a.json", b"{", "no JSON"),
        ("a.json", b'{"id": "one two three four five"}', "no prompt and no image"),
        ("a.txt", b"\xff\xfe", "not UTF-8"),
        ("a.parquet", b"PAR1", "Parquet"),
    ],
)
def test_unusable_copies_are_refused(
    tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        near.read_known([tmp_path / name])
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "first", "second", "same"),
    [
        ("count", "There are three wolves.", "3", True),
        ("count", "There are three wolves in the snow.", "Two wolves are in the snow.", False),
        ("count", "A single wolf is there.", "I see one wolf.", True),
        ("colour", "The coat is dark red.", "Red.", True),
        ("colour", "The coat is red.", "The coat is blue.", False),
        ("object", "Yes, a knife lies there.", "No.", False),
        ("object", "Yes.", "Yes, there is a knife.", True),
        ("object", "A knife lies on the board.", "It is a knife.", True),
        ("object", "A knife lies on the board.", "It is a spoon.", False),
        ("place", "The wolf stands to the left of the tree.", "Left of the tree.", True),
        ("place", "The wolf stands to the left of the tree.", "Right of the tree.", False),
        ("action", "The man climbs a ladder.", "He is climbing up the ladder.", True),
    ],
)
def test_agreement_of_two_answers(kind: str, first: str, second: str, same: bool) -> None:
    assert grounding.agree(kind, first, second) == same
    assert grounding.agree(kind, second, first) == same


def test_a_second_look_that_disagrees_rejects() -> None:
    pairs = [make_pair(0), make_pair(1), make_pair(2)]
    second = {"pair-0": "To the right of the window.", "pair-1": "Left of the door."}
    rows = filters.examine(pairs, Limits(), second_answers=second)
    assert names(rows) == [("a second look disagrees",), (), ()]


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("A red knife.", True),
        ("Red.", True),
        ("Three men in yellow vests carry a heavy beam across the muddy yard.", True),
        ("Un homme est dans la cuisine avec un couteau.", False),
        ("El hombre está junto a la mesa con un cuchillo.", False),
        ("Een man staat naast het huis met een bijl.", False),
        ("Nero.", True),
        ("刀在桌子上。", False),
    ],
)
def test_english(text: str, english: bool) -> None:
    assert prose.is_english(text) == english


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("red red red", True),
        ("a lamp and a chair and a lamp and a chair and a lamp and a chair", True),
        ("The first lamp is red, the second lamp is green and the third one is off.", False),
        ("7 7", False),
    ],
)
def test_repetition(text: str, again: bool) -> None:
    assert prose.repeats(text, 0.2) == again
