"""Building a set: both JSONL forms become the same records, and a fault leaves nothing behind."""

import io
import json
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds
from PIL import Image

from vsfa_jax.core.errors import ConfigError, DataError
from vsfa_jax.data import build as building
from vsfa_jax.data.build import build, choose_validation
from vsfa_jax.data.jsonl import Line
from vsfa_jax.data.record import Message
from vsfa_jax.data.sources import open_source


def png(number):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def llava(number, **changes):
    turns = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": f"Thing {number}."},
    ]
    return {"id": f"r{number}", "image": f"{number}.png", "conversations": turns} | changes


def sharegpt(number, **changes):
    turns = [
        {"role": "user", "content": "<image>\nWhat is it?"},
        {"role": "assistant", "content": f"Thing {number}."},
    ]
    return {"id": f"r{number}", "images": [f"{number}.png"], "messages": turns} | changes


@pytest.fixture
def place(tmp_path):
    """A folder with ten images, all different."""
    tfds.disable_progress_bar()
    (tmp_path / "images").mkdir()
    for number in range(10):
        (tmp_path / "images" / f"{number}.png").write_bytes(png(number))
    return tmp_path


def run(place, rows, share=0.2, out="out", **options):
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (place / "set.jsonl").write_text(text)
    options = {"images": place / "images", "arm": "threat"} | options
    return build(place / "set.jsonl", out=place / out, validation_share=share, **options)


def refused(place, rows, **options):
    """The message of the error, having made sure that nothing was left behind."""
    before = sorted(place.iterdir())
    with pytest.raises(DataError) as caught:
        run(place, rows, **options)
    (place / "set.jsonl").unlink()
    assert sorted(place.iterdir()) == before
    return str(caught.value)


def test_both_forms_give_the_same_set(place):
    assert run(place, map(llava, range(10)), out="a") == {"train": 8, "validation": 2}
    assert run(place, map(sharegpt, range(10)), out="b") == {"train": 8, "validation": 2}
    for split in ("train", "validation"):
        one, other = (open_source(place / name, split) for name in "ab")
        assert one.fingerprint == other.fingerprint
    parts = [open_source(place / "a", split) for split in ("train", "validation")]
    records = {record.id: record for part in parts for record in part}
    assert set(records) == {f"r{i}" for i in range(10)}
    assert records["r7"].images == (png(7),)
    assert records["r7"].messages[0] == Message("user", "<image>\nWhat is it?")
    assert sorted(p.name for p in place.iterdir()) == ["a", "b", "images", "set.jsonl"]


def test_other_shapes_of_a_line(place):
    parts = [{"type": "image"}, {"type": "text", "text": "What?"}]
    answer = {"role": "assistant", "content": "x"}
    rows = [
        llava(0, arm="neutral"),
        "",  # a blank line is skipped but counted
        llava(1, id=17),
        {key: value for key, value in llava(2).items() if key != "id"},
        sharegpt(3, messages=[{"role": "user", "content": parts}, answer]),
        sharegpt(4, images=[], messages=[{"role": "system", "content": "mira"}, answer]),
    ]
    assert run(place, rows, share=0) == {"train": 5}
    records = {record.id: record for record in open_source(place / "out")}
    assert set(records) == {"17", "4", "r3", "r4"}
    assert records["r3"].messages[0].content == "<image>What?"
    assert records["r4"].images == ()
    assert [r.id for r in open_source(place / "out", arm="neutral")] == ["r0"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"id": "r1", ', "broken JSON at column"),
        ("[1, 2]", "a JSON list; wanted one object a line"),
        ("[" * 100_000, "JSON that cannot be read"),
        ("9" * 5000, "JSON that cannot be read"),
        (llava(1, image=7), "wanted file names"),
        (llava(1, images=["1.png"]), "both 'image' and 'images'"),
        (llava(1, messages=[]), "wanted one of 'conversations' and 'messages'"),
        ({"id": "x"}, "keys id; wanted one of"),
        (llava(1, conversations={}), "conversations is a dict; wanted a list"),
        (llava(1, conversations=[]), "no messages"),
        (llava(1, conversations=["hello"]), "message 1: a str; wanted an object"),
        (llava(1, conversations=[{"from": "bot", "value": ""}]), "unknown role 'bot'"),
        (llava(1, conversations=[{"from": "human", "value": 3}]), "wanted a text"),
        (llava(1, conversations=[{"from": "human", "value": "<image>"}]), "no trained token"),
        (llava(1, id=[1]), "id [1]; wanted a text"),
        (llava(1, arm=3), "arm 3; wanted a text"),
        (llava(0), "id 'r0' again; first at"),
        (llava(1, id="\ud800"), "half a surrogate pair"),
        (llava(1, image=None), "1 <image> marks for 0 images"),
        (sharegpt(1, images=["1.png", "2.png"]), "1 <image> marks for 2 images"),
        (llava(1, image="absent.png"), "no image file"),
        (llava(1, image="."), "no image file"),
        (llava(1, image="../secret.png"), "leads out of"),
        (llava(1, image="link.png"), "leads out of"),
        (llava(1, image="/etc/passwd"), "leads out of"),
        (llava(1, image="a\0b"), "leads out of"),
        (llava(1, image="page.png"), "not an image"),
        (llava(1, image="cut.png"), "damaged or truncated"),
    ],
)
def test_bad_line_is_named_by_number(place, row, words):
    (place / "secret.png").write_bytes(png(1))
    (place / "images" / "link.png").symlink_to(place / "secret.png")
    (place / "images" / "page.png").write_text("<html>404</html>")
    (place / "images" / "cut.png").write_bytes(png(1)[:60])
    message = refused(place, [llava(0), "", row])
    assert f"{place}/set.jsonl:3" in message
    assert words in message


def test_all_faults_are_listed_at_once(place):
    rows = [llava(0), "{", llava(1, image="absent.png"), llava(2, conversations=[])]
    message = refused(place, rows)
    assert message.startswith("3 of 4 lines of")
    for number in (2, 3, 4):
        assert f"set.jsonl:{number}" in message


def test_files_that_cannot_be_used(place):
    assert "no record in it" in refused(place, [""])
    assert "is not a folder" in refused(place, [llava(0)], images=place / "nowhere")
    assert "no --images folder was given" in refused(place, [llava(0)], images=None)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        build(place / "absent.jsonl", place / "images", place / "out", 0.0, "threat")
    (place / "bytes.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "caf\xe9"}')
    with pytest.raises(DataError, match=r"bytes.jsonl:1: not UTF-8 at byte 11"):
        build(place / "bytes.jsonl", place / "images", place / "out", 0.0, "threat")


def test_place_that_is_taken_is_left_alone(place):
    (place / "out").mkdir()
    (place / "out" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="wanted a new or an empty folder"):
        run(place, map(llava, range(10)))
    assert (place / "out" / "mine.txt").read_text() == "keep"
    (place / "out" / "mine.txt").unlink()
    assert run(place, map(llava, range(10))) == {"train": 8, "validation": 2}


def test_image_that_changes_while_building_is_noticed(place, monkeypatch):
    check = building.check_images

    def check_then_change(line, folder):
        found = check(line, folder)
        (folder / line.images[0]).write_bytes(png(200))
        return found

    monkeypatch.setattr(building, "check_images", check_then_change)
    assert "changed while the set was being built" in refused(place, [llava(0), llava(1)], share=0)


def test_full_disk_leaves_nothing(place):
    """A limit on file size stands for a disk that is full: writes fail half-way."""
    (place / "set.jsonl").write_text("\n".join(json.dumps(llava(i)) for i in range(10)))
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "from pathlib import Path\n"
        "from vsfa_jax.core.errors import DataError\n"
        "from vsfa_jax.data.build import build\n"
        "place = Path(sys.argv[1])\n"
        "try:\n"
        "    build(place / 'set.jsonl', place / 'images', place / 'out', 0.0, 'threat')\n"
        "except DataError as error:\n"
        "    assert 'cannot be written' in str(error), error\n"
        "    sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], check=False, timeout=60)
    assert done.returncode == 7
    assert sorted(p.name for p in place.iterdir()) == ["images", "set.jsonl"]


def lines_of(images):
    digests = {f"r{i}": [f"image{n}" for n in names] for i, names in enumerate(images)}
    lines = [Line("x", id, (), (), "threat") for id in digests]
    return lines, digests


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_split_parts_no_shared_image(share):
    # Images 2k and 2k + 1 hang together through record k + 100, which has both.
    images = [(i,) for i in range(100)] + [(2 * k, 2 * k + 1) for k in range(50)]
    lines, digests = lines_of(images)
    held = choose_validation(lines, digests, share)
    seen = [{n for id in part for n in digests[id]} for part in (held, set(digests) - held)]
    assert not seen[0] & seen[1]
    assert abs(len(held) - share * 150) <= 3
    backwards = choose_validation(lines[::-1], digests, share)
    assert backwards == held


def test_split_of_few_groups():
    lines, digests = lines_of([(0,), (0,), (0,), (1,), (1,)])
    assert choose_validation(lines, digests, 0.1) == {"r3", "r4"}
    assert choose_validation(lines, digests, 0.0) == set()
    lines, digests = lines_of([(0,), (0, 1), (1,)])
    with pytest.raises(DataError, match="3 records in 1 groups that share no image"):
        choose_validation(lines, digests, 0.5)
    lines, digests = lines_of([(), (), ()])  # records of text alone stand by themselves
    assert len(choose_validation(lines, digests, 0.34)) == 1


def command(place, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "vsfa_jax.data.build", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_command_line(place):
    (place / "set.jsonl").write_text("\n".join(json.dumps(llava(i)) for i in range(10)))
    given = (f"--jsonl={place}/set.jsonl", f"--images={place}/images", f"--out={place}/out")
    done = command(place, *given, "--validation_share=1.5")
    assert done.returncode == 2
    assert done.stderr == "error: --validation_share: 1.5; wanted from 0 to below 1\n"
    done = command(place, *given, "--validation_share=0.1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{place}/out\n")
    assert tfds.builder_from_directory(str(place / "out")).info.splits["train"].num_examples == 9
