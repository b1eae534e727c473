"""A workdir belongs to one run: what differs is named."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.manifest import Manifest, hash_code, hash_files, hash_json

MANIFEST = Manifest(
    data="d0",
    packing="p0",
    template="t0",
    resolution="r0",
    base_weights="b0",
    code="c0",
    details={"jax": "0.10.2"},
)
CONFIG = {
    "seed": 0,
    "steps": 100,
    "eval_every": 50,
    "tensorboard": True,
    "mesh": {"data": 1, "fsdp": -1},
    "lora": {"rank": 8, "targets": ("q_proj", "v_proj")},
}


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    MANIFEST.open(tmp_path / "run", CONFIG)
    return tmp_path / "run"


def test_the_same_run_opens_again_and_changes_nothing(workdir: Path) -> None:
    before = {path.name: path.read_bytes() for path in workdir.iterdir()}
    assert set(before) == {"config.json", "manifest.json"}
    dataclasses.replace(MANIFEST, details={"jax": "0.11"}).open(workdir, CONFIG)
    assert before == {path.name: path.read_bytes() for path in workdir.iterdir()}


@pytest.mark.parametrize("part", ["data", "packing", "template", "resolution", "base_weights"])
def test_another_part_is_refused_by_name(workdir: Path, part: str) -> None:
    other = dataclasses.replace(MANIFEST, **{part: "x1"})
    with pytest.raises(CheckpointError, match=rf"manifest.json: .*: {part} is \w0, wanted x1$"):
        other.open(workdir, CONFIG)
    if part in ("data", "packing"):
        other.check(workdir, for_evaluation=True)
    else:
        with pytest.raises(CheckpointError, match=f"{part} is"):
            other.check(workdir, for_evaluation=True)


def test_every_difference_is_named(workdir: Path) -> None:
    other = dataclasses.replace(MANIFEST, data="d1", resolution="r1")
    with pytest.raises(CheckpointError, match="data is d0, wanted d1; resolution is r0, wanted r1"):
        other.check(workdir)


def test_other_code_is_warned_of(workdir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="absl"):
        dataclasses.replace(MANIFEST, code="c1").open(workdir, CONFIG)
    assert "made by code c0, this is c1" in caplog.text


def test_what_may_change_on_resume(workdir: Path) -> None:
    MANIFEST.open(
        workdir,
        CONFIG
        | {"steps": 200, "eval_every": 0, "tensorboard": False, "mesh": {"data": 2, "fsdp": 4}},
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"lora": {"rank": 4, "targets": ["q_proj", "v_proj"]}}, "lora.rank was 8, now 4"),
        (
            {"lora": {"rank": 8, "targets": ["q_proj"]}},
            r"lora.targets was \[.*\], now \['q_proj'\]",
        ),
        ({"batch_rows": 4}, "batch_rows was 'not there', now 4"),
    ],
)
def test_any_other_setting_is_refused_by_name(workdir: Path, change: dict, named: str) -> None:
    with pytest.raises(CheckpointError, match=f"began with other settings: {named}$"):
        MANIFEST.open(workdir, CONFIG | change)


def test_a_removed_setting_is_refused(workdir: Path) -> None:
    config = {key: value for key, value in CONFIG.items() if key != "seed"}
    with pytest.raises(CheckpointError, match="seed was 0, now 'not there'"):
        MANIFEST.open(workdir, config)


def test_a_run_killed_before_its_manifest_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    MANIFEST.open(tmp_path, CONFIG)
    MANIFEST.open(tmp_path, CONFIG)


def test_a_missing_or_foreign_workdir_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"manifest.json: no such file; wanted the workdir"):
        MANIFEST.check(tmp_path, for_evaluation=True)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match=r"found checkpoints without manifest.json"):
        MANIFEST.open(tmp_path, CONFIG)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"found a file without manifest.json"):
        MANIFEST.open(tmp_path / "file", CONFIG)
    with pytest.raises(CheckpointError, match="cannot be written"):
        MANIFEST.open(tmp_path / "file" / "run", CONFIG)


@pytest.mark.parametrize("content", ["{", "[]", "\ud800"])
def test_an_unreadable_manifest_is_named(workdir: Path, content: str) -> None:
    (workdir / "manifest.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(CheckpointError, match="manifest.json: "):
        MANIFEST.check(workdir)


def test_hashes(tmp_path: Path) -> None:
    assert hash_json({"a": 1, "b": [2]}) == hash_json({"b": [2], "a": 1}) != hash_json({"a": 1})
    for name, content in (("a", "1"), ("b", "2"), ("c", "1")):
        (tmp_path / name).write_text(content)
    one, two, three = (tmp_path / name for name in "abc")
    assert hash_files([one, two]) == hash_files([two, one])
    assert len({hash_files(paths) for paths in ([one], [two], [three], [one, two], [])}) == 5
    assert hash_code() == hash_code()
    assert len(hash_code()) == 64
