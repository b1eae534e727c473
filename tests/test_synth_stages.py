"""Stages on disk: done once, resumed where they stopped, made anew when they must be."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from synth_rows import pair, picture

from vsfa_jax.core.errors import ConfigError, DataError
from vsfa_jax.synth import rows
from vsfa_jax.synth.rows import Failed, Rejected, Row
from vsfa_jax.synth.stages import Stages, counts, digest

UNITS = {str(number): number for number in range(10)}


class Killed(RuntimeError):
    """Stands for a signal."""


class Worker:
    """Makes a row a unit, counts them, and dies before unit `dies_at`."""

    def __init__(self, dies_at: int = 99) -> None:
        self.worked: list[int] = []
        self.dies_at = dies_at

    def __call__(self, some: Sequence[int]) -> list[list[Row]]:
        if self.dies_at in some:
            raise Killed
        self.worked += some
        return [[Failed(str(number), "", "none", f"unit {number}")] for number in some]


def run(folder: Path, worker: Worker, key: str = "key") -> list[Row]:
    return Stages(folder).run("some", key, UNITS, worker, batch=2)


def test_a_stage_is_done_once(tmp_path: Path) -> None:
    first = Worker()
    made = run(tmp_path, first)
    assert first.worked == list(range(10))
    again = Worker()
    assert run(tmp_path, again) == made
    assert again.worked == []
    assert list(tmp_path.iterdir()) == [tmp_path / "some.jsonl"]


def test_a_killed_stage_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", Worker())
    with pytest.raises(Killed):
        run(tmp_path / "parts", Worker(dies_at=5))
    assert Stages(tmp_path / "parts").done("some", "key") is None
    second = Worker()
    assert run(tmp_path / "parts", second) == whole
    assert second.worked == [4, 5, 6, 7, 8, 9]
    files = [(tmp_path / part / "some.jsonl").read_bytes() for part in ("whole", "parts")]
    assert files[0] == files[1]


@pytest.mark.parametrize("lost", [1, 20, 150])
def test_a_torn_last_line_is_made_again(tmp_path: Path, lost: int) -> None:
    with pytest.raises(Killed):
        run(tmp_path, Worker(dies_at=8))
    part = tmp_path / "some.part.jsonl"
    os.truncate(part, part.stat().st_size - lost)
    worker = Worker()
    assert [row.id for row in run(tmp_path, worker)] == list(UNITS)
    assert worker.worked[0] == (7 if lost < 150 else 6)


def test_another_key_makes_a_stage_anew(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, Worker(dies_at=8))
    worker = Worker()
    run(tmp_path, worker, "another")
    assert worker.worked == list(range(10))
    third = Worker()
    run(tmp_path, third, "key")
    assert third.worked == list(range(10))


@pytest.mark.parametrize("change", ["lost", "changed", "cut"])
def test_a_damaged_stage_is_made_anew(tmp_path: Path, change: str) -> None:
    run(tmp_path, Worker())
    path = tmp_path / "some.jsonl"
    lines = path.read_text().splitlines()
    if change == "lost":
        del lines[3]
    elif change == "changed":
        lines[3] = lines[3].replace("unit 2", "unit 3")
    else:
        lines[-1] = lines[-1][:9]
    path.write_text("\n".join(lines) + "\n")
    worker = Worker()
    assert len(run(tmp_path, worker)) == 10
    assert worker.worked == list(range(10))


def test_a_disk_that_is_full_is_said_and_what_was_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([None] * 3)  # the head, and two batches

    def full(handle: int) -> None:
        if next(calls, "full") == "full":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("vsfa_jax.synth.stages.os.fsync", full)
        with pytest.raises(DataError, match="No space left on device; once it can"):
            run(tmp_path, Worker())
    worker = Worker()
    assert len(run(tmp_path, worker)) == 10
    assert 0 not in worker.worked


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        Stages(tmp_path).held(),
        pytest.raises(ConfigError, match="another process"),
        Stages(tmp_path).held(),
    ):
        pass


def test_rows_survive_json_and_others_are_refused() -> None:
    some = [pair("a:0:object"), picture("a"), Rejected("a", "b", ("x", "y"), "text")]
    again = [rows.from_json(json.loads(json.dumps(rows.to_json(row))), "here") for row in some]
    assert again == some
    for strange in ({"row": "Pair"}, {"row": "Nothing"}, {**rows.to_json(some[0]), "more": 1}):
        with pytest.raises(DataError, match="^here: keys"):
            rows.from_json(strange, "here")


def test_counts_and_digests_see_every_row() -> None:
    some: list[Row] = [
        pair("a:0:object"),
        Rejected("b", "", ("short", "copied"), ""),
        Rejected("c", "", ("short",), ""),
        Failed("d", "", "timeout", ""),
    ]
    found = counts(some)
    assert found["reasons"] == {"short": 2, "copied": 1, "timeout": 1}
    assert (found["Pair"], found["Rejected"], found["Failed"]) == (1, 2, 1)
    assert digest(some) != digest(some[::-1])
