"""Every benchmark's files: all that is missing, damaged or of another type is named."""

import collections
from pathlib import Path

import pytest
from benchmark_faults import IMAGES, changed, first_rows, load, other_value, some_files, tables
from benchmark_makers import MADE, make, picture

from vsfa_jax import benchmarks
from vsfa_jax.benchmarks.case_set import case_set_hash
from vsfa_jax.core.errors import DataError, ImageError
from vsfa_jax.data.images import decode_image
from vsfa_jax.data.record import IMAGE_MARK

OPTIONAL = {
    "mm_safetybench": ("Key Phrase",),
    "spa_vl": ("class1", "class2"),
    "mossbench": ("description",),
    "scienceqa": ("hint", "image"),
}


@pytest.fixture(scope="module", params=MADE)
def made(request, tmp_path_factory):
    """(name, root, folder) of a made-up set, which tests leave as they find it."""
    root = tmp_path_factory.mktemp("root")
    return request.param, root, make(request.param, root)


def test_every_case_is_there_and_draws_are_spread(made):
    name, root, _ = made
    cases = load(name, root)
    assert collections.Counter(case.kind for case in cases) == MADE[name].kinds
    drawn = load(name, root, per_kind=5)
    order = [case.id for case in cases if case in drawn]
    assert [case.id for case in drawn] == order
    for kind, there in MADE[name].kinds.items():
        of_kind = [case for case in drawn if case.kind == kind]
        assert len(of_kind) == min(5, there)
        sizes = collections.Counter(case.category for case in cases if case.kind == kind)
        taken = collections.Counter(case.category for case in of_kind)
        most = max(taken.values())
        assert all(taken[c] >= min(size, most - 1) for c, size in sizes.items())


def test_the_order_of_the_file_system_does_not_matter(made, monkeypatch):
    name, root, _ = made
    before, glob = load(name, root), Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, p: sorted(glob(self, p), reverse=True))
    assert load(name, root) == before


def test_images_are_not_held(made):
    name, root, _ = made
    held = sum(isinstance(case.images, tuple) for case in load(name, root) if len(case.images))
    assert (held > 0) == (name in ("spa_vl", "mmmu"))


def test_no_root_and_no_folder(made, tmp_path):
    name, _, folder = made
    source = benchmarks.find(name).SOURCE
    with pytest.raises(DataError, match="eval.root: not set") as error:
        load(name, None)
    assert source in str(error.value)
    with pytest.raises(DataError, match="no such folder") as error:
        load(name, tmp_path)
    assert str(tmp_path / folder.name) in str(error.value) and source in str(error.value)


def test_a_missing_file_is_named(made):
    name, root, folder = made
    for path in some_files(name, folder):
        with changed(path, None), pytest.raises(DataError) as error:
            load(name, root)
        wanted = str(path).replace("-00000-of-00001", "-*")
        assert wanted in str(error.value) and benchmarks.find(name).SOURCE in str(error.value)


def test_a_damaged_file_is_named(made):
    name, root, folder = made
    for path in some_files(name, folder):
        whole = path.read_bytes()
        if path.suffix in IMAGES:
            with changed(path, whole[: len(whole) // 2]):
                cases = load(name, root)
                with pytest.raises(ImageError, match="damaged or truncated|not an image"):
                    for case in cases:
                        [decode_image(data, where=case.id) for data in case.images]
            continue
        for data in (whole[: len(whole) // 2 - 3], b"", b"\xff\xfe\x00 no text", b"3", b'{"a": 3}'):
            with changed(path, data), pytest.raises(DataError) as error:
                load(name, root)
            assert str(path) in str(error.value)


def test_a_missing_field_is_named(made):
    name, root, folder = made
    free = {*MADE[name].unused, *OPTIONAL.get(name, ())}
    for path in tables(name, folder):
        fields, written = first_rows(path)
        for field in fields:
            data = written({k: v for k, v in fields.items() if k != field})
            with changed(path, data):
                if field in free:
                    load(name, root)
                    continue
                with pytest.raises(DataError) as error:
                    load(name, root)
                    pytest.fail(f"{path}: {field}")
            assert str(path) in str(error.value)


@pytest.mark.parametrize("value", [None, 3.5, "", ["x"], {"x": 1}])
def test_a_value_of_another_type_is_named(made, value):
    name, root, folder = made
    free = {*MADE[name].unused, *OPTIONAL.get(name, ())}
    for path in tables(name, folder)[:1]:
        if path.suffix == ".parquet" or (path.suffix == ".csv" and not isinstance(value, str)):
            continue
        fields, written = first_rows(path)
        for field in set(fields) - free:
            if type(value) is type(fields[field]) and value:
                continue
            other = written({**fields, field: value})
            with changed(path, other), pytest.raises(DataError) as error:
                load(name, root)
                pytest.fail(f"{path}: {field}")
            assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mm_safetybench", ("Question", "Rephrased Question", "Rephrased Question(SD)")),
        ("spa_vl", ("question",)),
        ("mossbench", ("question",)),
        ("xstest", ("prompt",)),
        ("mm_vet", ("question",)),
        ("pope", ("text",)),
        ("mmmu", ("question",)),
        ("scienceqa", ("question", "hint")),
    ],
)
def test_an_image_mark_in_a_text_is_refused(name, fields, tmp_path):
    folder = make(name, tmp_path)
    path = tables(name, folder)[0]
    before, written = first_rows(path)
    for field in fields:
        marked = written({**before, field: f"See {IMAGE_MARK} {before[field]}"})
        with changed(path, marked), pytest.raises(DataError, match=f"{IMAGE_MARK} mark"):
            load(name, tmp_path)


def test_the_hash_changes_when_any_content_does(made):
    name, root, folder = made
    before = case_set_hash(load(name, root))
    assert before == case_set_hash(load(name, root))
    for number, path in enumerate(some_files(name, folder)):
        if path.suffix in IMAGES:
            with changed(path, picture(1000 + number)):
                assert case_set_hash(load(name, root)) != before, path
    free = {*MADE[name].unused}
    for path in tables(name, folder):
        fields, written = first_rows(path)
        for field, value in fields.items():
            if field in free:
                continue
            with changed(path, written({**fields, field: other_value(value)})):
                try:
                    after = case_set_hash(load(name, root))
                except DataError:
                    continue
                assert after != before, f"{path}: {field}"


@pytest.mark.parametrize("name", ["figstep", "xstest", "pope"])
def test_an_entry_that_is_there_twice_is_refused(name, tmp_path):
    folder = make(name, tmp_path)
    path = tables(name, folder)[0]
    text = path.read_text()
    path.write_text(text + text.splitlines()[-1] + "\n")
    with pytest.raises(DataError, match="2 entries of the set have this id"):
        load(name, tmp_path)


def test_an_image_outside_its_folder_is_refused(tmp_path):
    for name in ("mossbench", "vlguard", "pope", "mm_vet"):
        folder = make(name, tmp_path)
        path = next(p for p in some_files(name, folder) if p.suffix == ".json")
        text = path.read_text()
        field = "imagename" if name == "mm_vet" else "image"
        image = first_rows(path)[0][field]
        for other in ("../../secret.png", "/etc/hostname"):
            leaving = text.replace(f'"{image}"', f'"{other}"').encode()
            with changed(path, leaving), pytest.raises(DataError, match="a file's name inside"):
                load(name, tmp_path)
