"""The audit: what it reads of a set, where it draws tokens, and that its page is safe and whole."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs import tiny
from vsfa_jax import audit
from vsfa_jax.auditing import charts, contents, examples, grid, page
from vsfa_jax.core import config
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.batch import NEWLINE
from vsfa_jax.data.build import build
from vsfa_jax.data.record import Message
from vsfa_jax.models.image_plan import ImagePlan

SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"
ANSWERS = ("a red knife", "a knife . keep away from it", "a knife and a bomb")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve records in two arms, as the synthesis leaves them: every third answer leaks."""
    folder = tmp_path_factory.mktemp("audited")
    rows = []
    for i in range(12):
        Image.linear_gradient("L").resize((40 + i, 90)).save(folder / f"{i}.png")
        said = SCRIPT if i == 11 else ANSWERS[i % 3]
        rows.append(
            {
                "id": f"r{i}",
                "image": f"{i}.png",
                "arm": "threat" if i < 8 else "refusal",
                "messages": [
                    {"role": "user", "content": "<image>what is in the image ?"},
                    {"role": "assistant", "content": said},
                ],
            }
        )
    (folder / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = folder / "set"
    build(folder / "lines.jsonl", folder, out / "threat_vqa" / "1.0.0", 0.0, "threat")
    kinds = [{"id": f"r{i}", "kind": "object" if i % 2 else "place"} for i in range(12)]
    (out / "records.jsonl").write_text("\n".join(map(json.dumps, kinds)))
    stage = [
        {"stage": "filters", "key": "k"},
        {"row": "Rejected", "reasons": ["leak, advice", "answer too long"]},
        {"row": "Rejected", "reasons": ["leak, advice"]},
        {"row": "Failed", "reason": "time-out"},
        {"row": "Pair", "id": "p"},
    ]
    (out / "stages").mkdir()
    (out / "stages" / "filters.jsonl").write_text("\n".join(map(json.dumps, stage)))
    held = {"rows": 8, "with_image": 8, "question_tokens": 9, "answer_tokens": 7}
    held |= {"difference": 0.005, "kinds": {"object": 8}}
    balance = {"tokenizer": "words", "splits": {"train": {"threat": held}}}
    (out / "balance.json").write_text(json.dumps(balance))
    return out


@pytest.fixture(scope="module")
def settings(stored: Path) -> Settings:
    wanted = config.load(tiny.get_config())
    return dataclasses.replace(wanted, data=dataclasses.replace(wanted.data, path=str(stored)))


@pytest.fixture(scope="module")
def text(settings: Settings) -> str:
    return audit.audit(settings, rows=8)


class Reader(HTMLParser):
    """Tags and attribute names as a browser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def test_nothing_in_a_set_can_act(text: str) -> None:
    reader = Reader()
    reader.feed(text)
    assert not reader.tags & {"script", "link", "iframe", "object", "embed", "form", "a"}
    assert not [name for name in reader.attributes if name.startswith("on")]
    assert SCRIPT in html.unescape(text)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert not re.search(r"https?://", text)


def test_images_are_blurred_under_their_grid(text: str) -> None:
    assert text.count('<img class="small" src="data:image/png;base64,') == text.count("<img ") == 8
    assert text.count('class="grid" viewBox="0 0 4 4"') == 8
    assert re.search(r"\.picture input:not\(:checked\) ~ img \{ filter: blur", text)
    assert not re.search(r'<input type="checkbox"[^>]* checked', text)


def test_what_the_page_says_of_the_set(text: str) -> None:
    plain = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))
    assert "12 records, of which 8 are shown below" in plain
    assert "finds something in 3 pairs that should be neutral" in plain
    assert "advice: keep away" in plain
    assert "filters: 2 rejected 2 leak, advice 1 answer too long" in plain
    assert "filters: 1 failed 1 time-out" in plain
    assert "threat 8 8 9 7 +0.50 % 8" in plain
    assert "refusal labelled on purpose" in plain


def test_tokens_are_trained_or_masked(settings: Settings) -> None:
    processor = audit.load_processor(settings)
    encode = audit.encoder(processor, settings.data.max_image_pixels)
    (part,) = (p for p in contents.read_parts(settings, processor) if p.arm == "threat")
    number = next(i for i in range(8) if part.source[i].id == "r0")
    view = examples.view(part, number, processor, encode)
    trained = [piece.text.strip() for piece in view.pieces if piece.kind == "trained"]
    assert trained == ["a", "red", "knife", "</s>"]
    assert view.num_trained == 4
    (image,) = [piece for piece in view.pieces if piece.kind == "image"]
    assert image.text == "image, 16 tokens"
    masked = [piece.text.strip() for piece in view.pieces if piece.kind == "masked"]
    assert masked[-2:] == ["ASSISTANT", ":"]
    assert view.lengths[0] == len(view.pieces) - 1 + 16
    assert part.kinds[number] == "place"
    assert part.unknown == 12 / 40  # "keep away from it" in three of eight answers
    assert view.messages[0].content == "what is in the image ?"


def test_every_part_is_shown_with_its_finds_first(settings: Settings) -> None:
    processor = audit.load_processor(settings)
    parts = list(contents.read_parts(settings, processor))
    chosen = {part.arm: indices for part, indices in examples.choose(parts, 8)}
    assert [len(set(indices)) for indices in chosen.values()] == [4, 4]
    threat = next(part for part in parts if part.arm == "threat")
    flagged = {hit.record for hit in threat.hits}
    assert flagged == {"r1", "r4", "r7"}
    assert threat.source[chosen["threat"][0]].id in flagged


def test_packing_counts_what_it_leaves_out(settings: Settings) -> None:
    processor = audit.load_processor(settings)

    def threat(tokens: int) -> contents.Part:
        data = dataclasses.replace(settings.data, budgets=((tokens, 17),))
        parts = contents.read_parts(dataclasses.replace(settings, data=data), processor)
        return next(part for part in parts if part.arm == "threat")

    whole = threat(64)
    assert whole.plan is not None
    most = int(whole.plan.lengths[:, 0].max()) - 1
    part = threat(most)
    found = charts.packing(part)
    assert found is not None
    assert found.dropped == {"too many tokens": 3}
    assert found.examples == found.rows == 5  # a row has room for one image
    assert found.fill == pytest.approx(found.alone)
    assert found.fill[1] == 1.0
    assert [len(band.tokens) for band in found.bands] == [1] * 5
    unpacked = threat(8)
    assert charts.packing(unpacked) is None
    assert "fits a bucket" in unpacked.fault


class Crop:
    """What an image processor that crops says of itself."""

    do_center_crop = True
    size = {"shortest_edge": 336}  # noqa: RUF012
    crop_size = {"height": 336, "width": 336}  # noqa: RUF012


def make_plan(index: list[int], cells: tuple[int, int] | None = None) -> ImagePlan:
    return ImagePlan(np.array(index, np.int32), len(index), np.ones(4, np.int32), {}, cells)


def test_grids_of_every_family() -> None:
    whole = grid.token_grid(make_plan(list(range(6)), (2, 3)), (640, 480), None)
    assert (whole.rows, whole.columns, whole.width, whole.height) == (2, 3, 1.0, 1.0)
    crop = grid.token_grid(make_plan(list(range(576))), (400, 200), Crop())
    assert (crop.rows, crop.left, crop.top, crop.width, crop.height) == (24, 0.25, 0.0, 0.5, 1.0)
    assert "cropped" in crop.note
    lines = [0, 1, 2, 3, *([4, 5, 6, NEWLINE] * 2)]
    tiles = grid.token_grid(make_plan(lines), (90, 60), None)
    assert (tiles.rows, tiles.columns, tiles.tokens) == (2, 3, 12)
    assert "2 × 2" in tiles.note


def test_histograms_share_an_axis() -> None:
    one, two, none = charts.histograms([np.array([1, 1, 48]), np.array([24]), np.zeros(0, int)])
    assert one is not None and two is not None
    assert none is None
    assert (one.last, two.last, one.most) == (48, 48, 48)
    assert two.bars == ((120.0, 44.0),)
    assert one.bars == ((0.0, 44.0), (230.0, 22.0))


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("<image>How many wolves are there?", "count"),
        ("Where is the lamp?", "place"),
        ("What does the sign say?", "text"),
        ("Which colour is the coat?", "colour"),
        ("Is there a dog?", "yes or no"),
        ("What is the man doing?", "action"),
        ("What is that?", "object"),
        ("Please.", "other"),
    ],
)
def test_kinds_are_guessed_where_none_is_stated(question: str, kind: str) -> None:
    assert contents.guess_kind((Message("user", question), Message("assistant", "x"))) == kind


def test_leaves_hold_at_most_their_number_and_one_part() -> None:
    plain = examples.View("i", "a", "train", "k", (), (), (), (0, 0), 0, ())
    views = [plain] * 45 + [dataclasses.replace(plain, arm="b")] * 3
    titles = [leaf["title"] for leaf in page.leaves(views)]
    assert titles == ["a 1–20", "a 21–40", "a 41–45", "b 1–3"]
    with pytest.raises(ValueError, match="at most 500"):
        page.render("t", {}, [], [plain] * 501, [], None)


@pytest.mark.parametrize(
    ("name", "data"), [("records.jsonl", "{"), ("balance.json", "[]"), ("balance.json", "{")]
)
def test_damaged_files_beside_a_set_are_named(tmp_path: Path, name: str, data: str) -> None:
    (tmp_path / name).write_text(data)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / name))):
        contents.balance(tmp_path)
        contents.read_lines(tmp_path / name)


@pytest.mark.slow
def test_the_command_writes_a_page(stored: Path, tmp_path: Path) -> None:
    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vsfa_jax.audit", *flags]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(f"--data={stored}", f"--out={tmp_path}/a/page.html", "--rows=5")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a/page.html").read_text().count("<article") == 4  # two of each arm
    wrong = run(f"--data={tmp_path}/none", f"--out={tmp_path}/b.html")
    assert (wrong.returncode, (tmp_path / "b.html").exists()) == (2, False)
    assert f"error: {tmp_path}/none: no such folder" in wrong.stderr
    assert run(f"--data={stored}", f"--out={tmp_path}/page.txt").returncode == 2
    model = "--config=configs/tiny_qwen3_vl.py"
    assert run(f"--data={stored}", f"--out={tmp_path}/q.html", model).returncode == 0
