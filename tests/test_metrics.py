"""metrics.jsonl, TensorBoard's files and the progress line."""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import subprocess
import sys
import types
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto import event_pb2

from vsfa_jax.core.errors import CheckpointError, ConfigError
from vsfa_jax.metrics import MetricsWriter, read_metrics
from vsfa_jax.progress import Progress


def test_numbers_read_back_bit_for_bit(tmp_path: Path) -> None:
    third = np.float32(1) / np.float32(3)
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(1, {"loss": third, "tokens": np.int32(7), "rate": 0.1, "arm": "threat"})
        metrics.write(2, {"loss": jnp.float32(third), "half": jnp.bfloat16(1.5), "ok": True})
    one, two = read_metrics(tmp_path / "metrics.jsonl")
    assert one == {"step": 1, "loss": float(third), "tokens": 7, "rate": 0.1, "arm": "threat"}
    assert np.float32(one["loss"]).tobytes() == third.tobytes()
    assert two == {"step": 2, "loss": float(third), "half": 1.5, "ok": True}
    assert type(one["tokens"]) is int


def test_what_is_not_finite_is_null_so_that_every_line_is_json(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(1, {"loss": np.float32("nan"), "norm": float("inf")})
    line = (tmp_path / "metrics.jsonl").read_text()
    refuse = pytest.fail
    assert json.loads(line, parse_constant=refuse) == {"step": 1, "loss": None, "norm": None}


@pytest.mark.parametrize("torn", ['{"step": 3, "lo', '{"step": 3}', "\x00\x00\x00"])
def test_half_a_last_line_is_repaired(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 4.0}\n{"step": 2, "loss": 3.0}\n' + torn)
    assert [row["step"] for row in read_metrics(path)] == [1, 2], "a reader beside a live writer"
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(4, {"loss": 2.0})
    kept = [3] if torn == '{"step": 3}' else []
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, *kept, 4]


def test_a_replayed_step_counts_with_its_last_line_and_rows_of_a_step_join(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(1, {"loss": 4.0})
        metrics.write(2, {"loss": 3.0})
        metrics.write(2, {"held_out_loss": 3.5})
        metrics.write(3, {"loss": 2.5})
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(2, {"loss": 3.25})
    assert read_metrics(tmp_path) == [
        {"step": 1, "loss": 4.0},
        {"step": 2, "loss": 3.25, "held_out_loss": 3.5},
        {"step": 3, "loss": 2.5},
    ]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n[1, 2]\n{"step": 2}\n')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl:2: found b'\[1, 2\]'"):
        read_metrics(path)
    with pytest.raises(CheckpointError, match="no such file"):
        read_metrics(tmp_path / "other.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        MetricsWriter(tmp_path / "file" / "run")


def test_a_full_disk_is_an_error_and_leaves_whole_lines(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with MetricsWriter(tmp_path, tensorboard=False) as metrics:
        metrics.write(1, {"loss": 1.0})
        resource.setrlimit(resource.RLIMIT_FSIZE, (40, before[1]))
        try:
            with pytest.raises(CheckpointError, match=r"step 2 not written .*File too large"):
                metrics.write(2, {"loss": 1.0})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "metrics.jsonl").stat().st_size == 40, "a part of the line was taken"
    with MetricsWriter(tmp_path, tensorboard=False) as metrics:
        metrics.write(2, {"loss": 0.5})
    assert [row["loss"] for row in read_metrics(tmp_path)] == [1.0, 0.5]


def test_another_reader_understands_the_event_file(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(300, {"loss": 0.5, "arm": "threat", "tokens": 12})
        metrics.write(70_000, {"loss": float("nan")})

    def masked(data: bytes) -> int:
        crc = crc32c(data)
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    (path,) = (tmp_path / "tensorboard").iterdir()
    data, events = path.read_bytes(), []
    while data:
        length, sum_of_length = struct.unpack("<QI", data[:12])
        message, (sum_of_message,) = (
            data[12 : 12 + length],
            struct.unpack_from("<I", data, 12 + length),
        )
        assert (sum_of_length, sum_of_message) == (masked(data[:8]), masked(message))
        events.append(event_pb2.Event.FromString(message))
        data = data[16 + length :]
    version, start, first, second = events
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (300, event_pb2.SessionLog.START)
    assert {v.tag: v.simple_value for v in first.summary.value} == {"loss": 0.5, "tokens": 12.0}
    assert second.step == 70_000
    assert np.isnan(second.summary.value[0].simple_value)
    assert all(event.wall_time > 1.7e9 for event in events)


def test_two_openings_make_two_event_files_in_order(tmp_path: Path) -> None:
    for step in (1, 2):
        with MetricsWriter(tmp_path) as metrics:
            metrics.write(step, {"loss": 1.0})
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    with MetricsWriter(tmp_path / "quiet", tensorboard=False) as metrics:
        metrics.write(1, {"loss": 1.0})
    assert [path.name for path in (tmp_path / "quiet").iterdir()] == ["metrics.jsonl"]


def test_weights_and_biases_gets_the_numbers_of_one_run(tmp_path: Path, monkeypatch) -> None:
    begun, sent, ended = [], [], []

    class Run:
        def log(self, values, step):
            sent.append((step, values))

        def finish(self):
            ended.append(True)

    fake = types.ModuleType("wandb")
    fake.init = lambda **options: begun.append(options) or Run()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for step in (1, 2):
        with MetricsWriter(tmp_path / "mine", wandb_project="safety") as metrics:
            metrics.write(step, {"loss": 0.5, "arm": "threat"})
    assert sent == [(1, {"loss": 0.5}), (2, {"loss": 0.5})] and len(ended) == 2
    first, second = begun
    assert first == second and first["resume"] == "allow"
    assert (first["project"], first["name"]) == ("safety", "mine")
    assert first["dir"] == str(tmp_path / "mine")
    with MetricsWriter(tmp_path / "other", wandb_project="safety"):
        assert begun[-1]["id"] != first["id"]
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"vsfa_jax\[wandb\]"):
        MetricsWriter(tmp_path / "third", wandb_project="safety")


def test_a_process_that_may_not_write_leaves_no_file(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path / "second", enabled=False) as metrics:
        metrics.write(1, {"loss": 1.0})
    assert not (tmp_path / "second").exists()


def test_writing_a_run_imports_neither_torch_nor_tensorflow() -> None:
    code = (
        "import sys, vsfa_jax.checkpoint, vsfa_jax.manifest, vsfa_jax.metrics, vsfa_jax.preemption,"
        "vsfa_jax.progress\n"
        "assert not {'torch', 'tensorflow'} & set(sys.modules)"
    )
    root = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": root})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ROW = {"loss": 1.23456, "tokens_per_s": 812.4, "data_wait": 0.034}


def test_plain_lines_show_the_first_the_last_and_what_is_due() -> None:
    stream = io.StringIO()
    with Progress(4, stream=stream, line_every_s=3600) as progress:
        for step in (1, 2, 3, 4):
            progress.update(step, ROW)
    assert stream.getvalue().splitlines() == [
        "step 1/4  loss 1.2346  812 tokens/s  data wait 3%",
        "step 4/4  loss 1.2346  812 tokens/s  data wait 3%",
    ]


def test_a_terminal_has_a_bar_that_counts_steps_before_a_resume() -> None:
    stream = Terminal()
    with Progress(40, stream=stream) as progress:
        progress.update(31, {"loss": 2.0})
        progress.update(40, ROW)
    last = stream.getvalue().rpartition("\r")[2]
    assert "40/40" in last
    assert "loss 1.2346  812 tokens/s  data wait 3%" in last
    off = Terminal()
    with Progress(40, enabled=False, stream=off) as progress:
        progress.update(1, ROW)
    assert off.getvalue() == ""
