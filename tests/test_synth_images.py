"""Pictures: a folder of a user's files, drawn pairs, and the checks that all pass through."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image
from synth_rows import photo, picture, settings

from vsfa_jax.api import Failure, Reply
from vsfa_jax.core.errors import DataError
from vsfa_jax.synth import concepts, drawn, folder, images
from vsfa_jax.synth.likeness import distance, image_hash
from vsfa_jax.synth.rows import Concept, Failed, Picture, Rejected, Row
from vsfa_jax.synth.settings import Settings
from vsfa_jax.synth.stages import counts, data_rows


def bomb() -> bytes:
    """A PNG file that says it has 60,000 pixels a side, in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        whole = name + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    packed = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def archive(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("../../outside.png", photo(1))
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            file.addfile(tarfile.TarInfo("../../outside.png"))
    return buffer.getvalue()


def turned() -> bytes:
    """A JPEG file whose EXIF orientation makes it stand upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return photo(5, form="JPEG", exif=exif.tobytes())


def fill(place: Path) -> dict[str, str]:
    """Twenty mixed files and a few traps; returns what must become of each."""
    files: dict[str, tuple[bytes, str]] = {
        "threat/knives/1.png": (photo(0), "taken"),
        "threat/knives/2.jpg": (photo(1, form="JPEG"), "taken"),
        "threat/knives/copy.png": (photo(0), "equal bytes"),
        "threat/knives/again.jpg": (photo(1, form="JPEG", quality=60), "looks like another"),
        "threat/exif.jpg": (turned(), "taken"),
        "threat/cmyk.jpg": (photo(2, form="JPEG", mode="CMYK"), "taken"),
        "threat/web.webp": (photo(3, form="WEBP"), "taken"),
        "threat/moving.gif": (photo(4, form="GIF"), "taken"),
        "threat/palette.png": (photo(6, mode="P"), "taken"),
        "threat/grey.png": (photo(7, mode="L"), "taken"),
        "threat/wrong_name.png": (photo(8, form="JPEG"), "taken"),
        "threat/cut.jpg": (photo(9, form="JPEG")[:900], "not a usable image"),
        "threat/page.png": (b"<html>not found</html>", "not a usable image"),
        "threat/drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a usable image"),
        "threat/bomb.png": (bomb(), "not a usable image"),
        "threat/blank.png": (_blank(), "blank"),
        "threat/tiny.png": (photo(10, (16, 12)), "too small"),
        "threat/empty.png": (b"", "empty"),
        "threat/photos.zip": (archive("zip"), "archive"),
        "neutral/knives/photos.jpg": (archive("tar"), "archive"),
        "neutral/knives/spoon.png": (photo(11), "taken"),
        "neutral/exif.png": (photo(12), "taken"),
        "notes.txt": (b"mine", "in no side's folder"),
    }
    for name, (data, _) in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    outside = place.parent / "outside.png"
    outside.write_bytes(photo(13))
    (place / "threat/link.png").symlink_to(outside)
    (place / "threat/inner.png").symlink_to(place / "threat/web.webp")
    (place / "threat/all").symlink_to(place.parent)
    (place / "threat/loop.png").symlink_to(place / "threat/loop.png")
    os.mkfifo(place / "threat/pipe.png")
    wanted = {name: reason for name, (_, reason) in files.items()}
    return wanted | {
        "threat/link.png": "link out of the folder",
        "threat/inner.png": "equal bytes",
        "threat/all": "link out of the folder",
        "threat/loop.png": "unreadable",
        "threat/pipe.png": "not a file",
    }


def _blank() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (90, 60), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def ask(requests: object) -> list[Reply | Failure]:
    raise AssertionError("a service was asked")


def take(place: Path, stages: Path) -> tuple[list[Row], Settings]:
    """The images stage over a folder."""
    wanted = settings(
        concepts__source="folder",
        images__source="folder",
        images__path=str(place),
        questions__teacher="api",
    )
    made = data_rows(concepts.made_here(wanted), Concept)
    orders, failed = images.orders(made, wanted)
    rows = [row for each in images.work(orders, wanted, stages, ask) for row in each]
    return images.refuse_copies([*failed, *rows], wanted), wanted


def test_a_folder_of_mixed_files_is_taken_or_refused_with_reasons(tmp_path: Path) -> None:
    wanted = fill(tmp_path / "mine")
    rows, _ = take(tmp_path / "mine", tmp_path / "stages")
    found = {}
    for row in rows:
        reasons = row.reasons[0] if isinstance(row, Rejected) else ""
        found[row.id] = row.reason if isinstance(row, Failed) else reasons or "taken"
    # of two files with equal bytes the first by name stays
    assert found.pop("threat/inner.png") == "taken"
    assert found.pop("threat/web.webp") == "equal bytes"
    del wanted["threat/inner.png"], wanted["threat/web.webp"]
    assert found == wanted
    assert all(row.message for row in data_rows(rows, Failed))
    assert not (tmp_path.parent / "outside.png").exists()


def test_pictures_of_a_folder_keep_their_bytes_side_group_and_shown_size(tmp_path: Path) -> None:
    fill(tmp_path / "mine")
    rows, wanted = take(tmp_path / "mine", tmp_path / "stages")
    taken = {row.id: row for row in data_rows(rows, Picture)}
    knife, spoon = taken["threat/knives/1.png"], taken["neutral/knives/spoon.png"]
    assert (knife.group, spoon.group) == ("knives", "knives")
    assert (knife.side, spoon.side) == ("threat", "neutral")
    assert taken["threat/exif.jpg"].group == taken["neutral/exif.png"].group == "exif"
    assert (taken["threat/exif.jpg"].width, taken["threat/exif.jpg"].height) == (64, 96)
    assert images.read(knife, tmp_path / "stages") == (tmp_path / "mine" / knife.id).read_bytes()
    assert knife.licence == wanted.images.licence


def test_a_picture_that_changed_is_not_read(tmp_path: Path) -> None:
    fill(tmp_path / "mine")
    rows, _ = take(tmp_path / "mine", tmp_path / "stages")
    first = data_rows(rows, Picture)[0]
    path = tmp_path / "stages" / first.file
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match="not the bytes that were checked"):
        images.read(first, tmp_path / "stages")
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        images.read(first, tmp_path / "stages")


def test_a_folder_without_sides_is_all_threats(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "a.png").write_bytes(photo(1))
    (tmp_path / "deep/er/b.png").write_bytes(photo(2))
    found, failed = folder.scan(tmp_path)
    assert not failed
    assert [(one.side, one.group) for one in found] == [("threat", "a"), ("threat", "deep/er")]
    with pytest.raises(DataError, match="is not a folder"):
        folder.scan(tmp_path / "a.png")


def test_a_painter_is_asked_for_different_pictures_of_a_prompt(tmp_path: Path) -> None:
    for sends_seed in (False, True):
        wanted = settings(
            concepts__source="abstracts",
            concepts__path="x",
            images__source="api",
            images__sends_seed=sends_seed,
            images__per_prompt=3,
            images__extra='{"watermark": false}',
            questions__teacher="api",
        )
        concept = Concept("w:threat", "w", "threat", "animals", "wolf", "", ("one", "two"), ())
        orders, _ = images.orders([concept], wanted)
        sent = [images.request(order, wanted) for order in orders]
        assert len({request.key for request in sent}) == 6
        assert all(request.fields["watermark"] is False for request in sent)
        assert all(("seed" in request.fields) == sends_seed for request in sent)
    answers: list[Reply | Failure] = [Reply(image=photo(number)) for number in range(5)]
    answers.append(Failure("no_image", "nothing"))
    made = images.work(orders, wanted, tmp_path, lambda _: answers)
    assert [type(row) for (row,) in made] == [Picture] * 5 + [Failed]


def test_no_picture_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match=r"none passed its checks; reasons: \{'timeout': 1\}"):
        images.refuse_copies([Failed("a", "", "timeout", "")], settings())


def test_copies_are_looked_for_within_a_side() -> None:
    some: list[Row] = [
        picture("a", likeness=f"{0:032x}"),
        picture("b", likeness=f"{7:032x}"),
        picture("c", likeness=f"{7:032x}", side="neutral"),
        picture("d", likeness=f"{2**60 - 1:032x}"),
    ]
    kept = images.refuse_copies(some, settings())
    assert [row.id for row in data_rows(kept, Picture)] == ["a", "c", "d"]
    exact = images.refuse_copies(some, settings(images__duplicate_bits=0))
    assert len(data_rows(exact, Picture)) == 4


def test_hashes_see_the_picture_through_format_size_and_light() -> None:
    first = Image.open(io.BytesIO(photo(3, (300, 200))))
    small = first.resize((90, 60)).point(lambda level: min(255, level + 20))
    other = Image.open(io.BytesIO(photo(4, (300, 200))))
    assert distance(image_hash(first), image_hash(small)) <= 6
    assert distance(image_hash(first), image_hash(other)) > 20


def test_twins_differ_in_one_figure_only() -> None:
    for _, threat, neutral in drawn.concepts():
        for number in range(6):
            one, other = drawn.twins(threat, neutral, number, seed=0)
            assert one.sign == other.sign
            changed = [
                (a.concept, b.concept)
                for a, b in zip(one.scene.things, other.scene.things, strict=True)
                if a != b
            ]
            assert changed == [(threat, neutral)]
            assert drawn.Drawn.from_json(one.to_json()) == one
            assert one.scene.split == other.scene.split == "train"
            for pairs in (one, other):
                names = {thing.concept for thing in pairs.scene.things}
                assert len(names - set(drawn.FILLERS)) == 1


def test_every_kind_but_action_is_drawn_and_twins_are_asked_the_same() -> None:
    kinds = ("text", *drawn.FORMS_OF)
    assert sorted((*kinds, "action")) == sorted((*settings().questions.kinds, "action"))
    seen = set()
    for number in range(12):
        both = drawn.twins("knife", "key", number, seed=0)
        asked = []
        for side, name, one in zip(("threat", "neutral"), ("knife", "key"), both, strict=True):
            row = picture(f"knife:{side}:{number}", group="knife", side=side, truth=one.to_json())
            made = drawn.pairs(row, kinds, 2, seed=0)
            seen |= {pair.kind for pair in made}
            asked.append([(p.kind, p.question.replace(name, "X"), p.description) for p in made])
            for pair in made:
                if pair.kind == "text":
                    assert pair.answer == one.sign
                assert pair.question not in {p.question for p in made if p is not pair}
        first, second = ([(kind, text) for kind, text, _ in each] for each in asked)
        assert first == second
    assert seen == set(kinds)


def test_the_description_settles_the_questions() -> None:
    for number in range(20):
        one, _ = drawn.twins("knife", "key", number, seed=1)
        row = picture(f"knife:threat:{number}", truth=one.to_json())
        described = one.describe()
        for pair in drawn.pairs(row, ("text", "scene", "comparison", "colour"), 1, seed=0):
            answer = pair.answer.removeprefix("a ")
            assert f" {answer} " in f" {described} ", (pair, described)


def test_counts_say_what_became_of_files(tmp_path: Path) -> None:
    fill(tmp_path / "mine")
    rows, _ = take(tmp_path / "mine", tmp_path / "stages")
    found = counts(rows)
    assert found["Picture"] == 11
    assert found["reasons"]["archive"] == 2
    assert found["reasons"]["link out of the folder"] == 2
