"""What is particular to one benchmark: layouts, prompts, categories, clusters."""

import collections
import json
import shutil
import tracemalloc
from pathlib import Path

import pyarrow.parquet
import pytest
from benchmark_faults import load
from benchmark_makers import make, picture, write_csv, write_json, write_parquet
from PIL import Image, ImageFont

from vsfa_jax.benchmarks.case_set import case_set_hash
from vsfa_jax.benchmarks.figstep import page
from vsfa_jax.benchmarks.images import Images
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.images import decode_image
from vsfa_jax.data.record import IMAGE_MARK


def stand_in_font(path):
    path.write_bytes(ImageFont.load_default(12).path.getvalue())


def test_figsteps_page_is_laid_out_by_the_published_rules():
    text = page.page_text("Steps to manufacture paper flowers.\n")
    assert text == "Steps to\nmanufacture\npaper flowers.\n1. \n2. \n3. "


def test_figstep_is_drawn_without_its_images(tmp_path, monkeypatch):
    folder = make("figstep", tmp_path)
    shutil.rmtree(folder / "data/images")
    stand_in_font(folder / page.FONT)
    cases = load("figstep", tmp_path)
    assert len(cases) == 20 and cases == load("figstep", tmp_path)
    images = [decode_image(case.images[0], where=case.id) for case in cases[:3]]
    assert {image.size for image in images} == {(760, 760)}
    assert len({image.tobytes() for image in images}) == 3
    assert all(image.getpixel((0, 0)) == (255, 255, 255) for image in images)
    (folder / page.FONT).unlink()
    monkeypatch.setattr(ImageFont, "truetype", no_font)
    with pytest.raises(DataError, match="FreeMonoBold.ttf to draw them with; wanted the images"):
        load("figstep", tmp_path)


def no_font(name, size):
    raise OSError(name)


def test_mm_safetybench(tmp_path):
    folder = make("mm_safetybench", tmp_path)
    cases = {case.id: case for case in load("mm_safetybench", tmp_path)}
    first = [cases[f"mm_safetybench/01-Illegal_Activitiy/0/{k}"] for k in ("SD", "TYPO", "text")]
    assert [len(case.images) for case in first] == [1, 1, 0]
    assert len({case.cluster for case in first}) == 1
    assert first[0].question == f"{IMAGE_MARK}\nHow is what the picture shows done (0)?"
    assert first[1].question == f"{IMAGE_MARK}\nHow is what the words say done (0)?"
    assert first[2].question == first[0].expected["request"]
    assert "thing 0" in first[0].caption
    criteria = {case.expected["criterion"] for case in cases.values()}
    assert len(criteria) == 6 and sum("not qualified" in text for text in criteria) == 3
    before = list(cases.values())
    for path in (folder / "data/processed_questions").iterdir():
        other = tmp_path / "other/mm_safetybench" / path.stem
        shutil.copytree(folder / "data/imgs" / path.stem, other)
        shutil.copy(path, other / path.name)
    after = load("mm_safetybench", tmp_path / "other")
    assert case_set_hash(after) == case_set_hash(before)


def test_spa_vls_other_files(tmp_path):
    folder = make("spa_vl", tmp_path)
    before = load("spa_vl", tmp_path)
    assert {case.category for case in before} == {f"Gardens {n % 2}:Plants {n}" for n in range(4)}
    other = tmp_path / "other/spa_vl"
    for split in ("harm", "help"):
        (other / f"eval{split}/test").mkdir(parents=True)
        path = folder / f"test/{split}-00000-of-00001.parquet"
        shutil.copy(path, other / f"eval{split}/test/0000.parquet")
    assert load("spa_vl", tmp_path / "other") == before
    shutil.rmtree(other)
    for split in ("harm", "help"):
        rows = pyarrow.parquet.read_table(folder / f"test/{split}-00000-of-00001.parquet")
        listed = []
        for number, row in enumerate(rows.to_pylist()):
            (other / split).mkdir(parents=True, exist_ok=True)
            (other / split / f"{number}.png").write_bytes(row["image"]["bytes"])
            listed.append({**row, "image": f"{split}/{number}.png"})
        write_json(other / f"{split}.json", listed)
    assert case_set_hash(load("spa_vl", tmp_path / "other")) == case_set_hash(before)


def test_a_parquet_row_without_its_image_is_named(tmp_path):
    folder = make("spa_vl", tmp_path)
    path = folder / "test/harm-00000-of-00001.parquet"
    rows = pyarrow.parquet.read_table(path).to_pylist()
    rows[2]["image"] = None
    write_parquet(path, rows)
    with pytest.raises(DataError, match="row 3: no image"):
        load("spa_vl", tmp_path)
    write_parquet(path, [{**row, "image": "x"} for row in rows])
    with pytest.raises(DataError, match="'image' is string; wanted images"):
        load("spa_vl", tmp_path)


def test_vlguard(tmp_path):
    folder = make("vlguard", tmp_path)
    cases = load("vlguard", tmp_path)
    by_part = collections.Counter(case.id.split("/")[2] for case in cases)
    assert by_part == {"instruction": 4, "safe_instruction": 4, "unsafe_instruction": 4}
    assert {case.category for case in cases if case.kind == "over_refusal"} == {"safe_safe"}
    sizes = collections.Counter(collections.Counter(case.cluster for case in cases).values())
    assert sizes == {1: 4, 2: 4}
    rows = json.loads((folder / "data/test.json").read_text())
    for turns, wanted in (
        ([], "no 'safe_instruction'"),
        ([{"safe_instruction": "x"}], "no 'unsafe_instruction'"),
        (["x"], "no objects"),
    ):
        write_json(folder / "data/test.json", [{**rows[0], "instr-resp": turns}])
        with pytest.raises(DataError, match=wanted):
            load("vlguard", tmp_path)


@pytest.mark.parametrize("metadata", ["type 1", "__import__('os')", "{'over': ", 3, None])
def test_mossbenchs_metadata_is_read_and_never_run(tmp_path, metadata):
    folder = make("mossbench", tmp_path)
    path = folder / "data/images_information/information.json"
    rows = json.loads(path.read_text())
    rows["1"]["metadata"] = metadata
    write_json(path, rows)
    with pytest.raises(DataError, match="'1': 'metadata' is .*; wanted a dict"):
        load("mossbench", tmp_path)


def test_xstest_and_its_labels(tmp_path):
    folder = make("xstest", tmp_path)
    cases = load("xstest", tmp_path)
    assert all(("contrast" in case.category) == (case.kind == "attack") for case in cases)
    assert all(len(case.images) == 0 for case in cases)
    (folder / "xstest_prompts.csv").rename(folder / "xstest_v2_prompts.csv")
    assert load("xstest", tmp_path) == cases
    row = {"id": 1, "prompt": "x", "type": "y", "label": "harmful", "focus": "", "note": ""}
    write_csv(folder / "xstest_v2_prompts.csv", [row])
    with pytest.raises(DataError, match="row 1: 'label' is 'harmful'; wanted safe or unsafe"):
        load("xstest", tmp_path)


def test_mm_vet_keeps_what_the_grader_is_shown(tmp_path):
    make("mm_vet", tmp_path)
    case = load("mm_vet", tmp_path)[1]
    assert case.expected["answer"] == "-1 <AND> 1" and case.expected["capability"] == "rec"
    assert case.question == f"{IMAGE_MARK}\n{case.expected['question']}"
    assert {case.category for case in load("mm_vet", tmp_path)} == {"math+ocr", "rec", "ocr+spat"}


def test_pope_questions_about_a_photograph_are_one_cluster(tmp_path):
    make("pope", tmp_path)
    cases = load("pope", tmp_path)
    assert collections.Counter(case.expected["answer"] for case in cases) == {"yes": 9, "no": 9}
    assert collections.Counter(collections.Counter(c.cluster for c in cases).values()) == {6: 3}


def test_mmmu_shows_images_where_they_are_named(tmp_path):
    folder = make("mmmu", tmp_path)
    cases = [case for case in load("mmmu", tmp_path) if case.category == "Accounting"]
    assert cases[0].question.startswith(f"Is {IMAGE_MARK} in {IMAGE_MARK}?\n(A) a cat\n(B) a dog")
    assert cases[0].images == (picture(5), picture(0))
    assert cases[1].images == (picture(1),)
    assert f"(B) it's {IMAGE_MARK}" in cases[2].question
    assert cases[2].images == (picture(2), picture(7))
    merged = tmp_path / "merged/mmmu/data"
    merged.mkdir(parents=True)
    shutil.copy(folder / "Accounting/validation-00000-of-00001.parquet", merged)
    assert load("mmmu", tmp_path / "merged") == cases
    path = folder / "Accounting/validation-00000-of-00001.parquet"
    rows = pyarrow.parquet.read_table(path).to_pylist()
    for change, wanted in (
        ({"image_2": None}, "row 1: no image_2, which its question names"),
        ({"question": "<image 7>?"}, "no column 'image_7'"),
        ({"options": "['a', "}, "row 1: 'options' cannot be read"),
        ({"options": "['a']", "answer": "A"}, "row 1: 1 options; wanted 2 to 26"),
        ({"answer": "C"}, "row 1: 'answer' is 'C'; wanted A or B"),
        ({"id": "test_1"}, "wanted validation_<subject>_<number>"),
    ):
        write_parquet(path, [{**rows[0], **change}, *rows[1:]])
        with pytest.raises(DataError, match=wanted):
            load("mmmu", tmp_path)


def test_scienceqa(tmp_path):
    folder = make("scienceqa", tmp_path)
    cases = {case.id: case for case in load("scienceqa", tmp_path)}
    assert {len(case.images) for case in cases.values()} == {0, 1}
    with_hint = cases["scienceqa/4"]
    assert with_hint.question.startswith("A hint.\nWhich is no. 4?\n(A) this\n(B) that\nAnswer")
    assert with_hint.expected == {"answer": "A", "A": "this", "B": "that"}
    assert {case.category.split(":")[0] for case in cases.values()} == {"image", "text"}
    splits = folder / "data/scienceqa/pid_splits.json"
    for value, wanted in (
        ({"test": ["77"]}, "no problem '77'"),
        ({"train": []}, "'test' is None; wanted a list"),
    ):
        write_json(splits, value)
        with pytest.raises(DataError, match=wanted):
            load("scienceqa", tmp_path)


def test_images_are_equal_when_their_sources_are():
    first, second = (Images((page.TypedPage(text, Path("f")),)) for text in ("a", "b"))
    assert first == Images(first.sources) and first != second
    assert len({first, second, Images(first.sources)}) == 2


def test_images_stay_on_the_disk(tmp_path):
    folder = make("pope", tmp_path)
    for path in (folder / "val2014").iterdir():
        Image.new("RGB", (1000, 1000)).save(path, "PNG", compress_level=0)
    tracemalloc.start()
    try:
        cases = load("pope", tmp_path)
        total = sum(len(data) for case in cases for data in case.images)
        assert total > 18 * 3_000_000  # each of three read six times
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
