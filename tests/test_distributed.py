"""Runs of several processes are the runs of one: trained, saved, stopped, killed, evaluated."""

from __future__ import annotations

import shutil
import signal
import time
import types
from pathlib import Path

import numpy as np
import pytest
from processes import Job, lines, slurm

from vsfa_jax.core import processes
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.metrics import read_metrics
from vsfa_jax.models import rows

STEPS = 6
FLAGS = [
    f"--config.steps={STEPS}",
    "--config.optimizer.schedule_steps=6",
    "--config.checkpoint_every=3",
    "--config.eval_every=0",
    "--config.batch_rows=8",
    "--config.data.size=64",
    "--config.data.validation_size=8",
]
SMALL = [*FLAGS, "--config.steps=2", "--config.batch_rows=2", "--config.data.size=16"]
ENDLESS = [*FLAGS, "--config.steps=100000", "--config.optimizer.schedule_steps=0"]
GONE_S = 40  # until a process has noticed that another one is gone


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The workdir of one process."""
    with Job(tmp_path_factory.mktemp("alone") / "run", cache, FLAGS, processes=1) as job:
        return job.finish()


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The workdir of two processes that came half the way."""
    flags = [*FLAGS, "--config.steps=3"]
    with Job(tmp_path_factory.mktemp("half") / "run", cache, flags, processes=2) as job:
        return job.finish()


def assert_same_run(workdir: Path, wanted: Path) -> None:
    """The same global batches, and the same losses to rounding."""
    found, others = read_metrics(workdir), read_metrics(wanted)
    assert [row["step"] for row in found] == [row["step"] for row in others]
    for row, other in zip(found, others, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert (row["tokens"], row["trained_tokens"]) == (other["tokens"], other["trained_tokens"])


# One process: what is read from variables, and which rows a process holds.


def test_the_launcher_says_where_a_process_stands() -> None:
    explicit = {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
    assert processes.find_place(explicit) == processes.Place("a:1", 4, 3)
    jobset = {
        "JOBSET_NAME": "vsfa",
        "REPLICATED_JOB_NAME": "slice",
        "JOB_INDEX": "1",
        "JOB_COMPLETION_INDEX": "2",
    }
    tpu = {"TPU_WORKER_HOSTNAMES": "a,b,c,d", "TPU_WORKER_ID": "2", "MEGASCALE_NUM_SLICES": "2"}
    coordinator = f"vsfa-slice-0-0.vsfa:{processes.PORT}"
    assert processes.find_place(jobset | tpu) == processes.Place(coordinator, 8, 6)
    gpu = {**jobset, "JOB_INDEX": "0", "JAX_NUM_PROCESSES": "4"}
    assert processes.find_place(gpu) == processes.Place(coordinator, 4, 2)
    named = {**gpu, "JAX_COORDINATOR_ADDRESS": "b:2"}
    assert processes.find_place(named) == processes.Place("b:2", 4, 2)
    assert processes.find_place({"PATH": "/bin", "JAX_COORDINATOR_ADDRESS": "a:1"}) is None


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"JAX_PROCESS_ID": "0"}, "found JAX_PROCESS_ID, but no JAX_COORDINATOR_ADDRESS, JAX_NUM"),
        ({"JOBSET_NAME": "a"}, "no REPLICATED_JOB_NAME, JOB_INDEX, JOB_COMPLETION_INDEX"),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "a:1",
                "JAX_NUM_PROCESSES": "two",
                "JAX_PROCESS_ID": "0",
            },
            "JAX_NUM_PROCESSES is 'two', wanted a number",
        ),
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"},
            "process 2 of 2",
        ),
    ],
)
def test_half_of_what_a_launcher_says_is_refused(variables: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        processes.find_place(variables)


def test_no_cluster_is_an_error_only_where_one_is_asked_for(monkeypatch) -> None:
    for name in ("JAX_COORDINATOR_ADDRESS", "SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri"):
        monkeypatch.delenv(name, raising=False)

    def none_found(**options: object) -> None:
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(processes.jax.distributed, "initialize", none_found)
    processes.join("auto")
    processes.join("off")
    with pytest.raises(ConfigError, match="--distributed=on: found no TPU pod"):
        processes.join("on")


def mesh_of(owners: list[int], data: int, fsdp: int, tensor: int) -> types.SimpleNamespace:
    """A mesh whose devices belong to these processes."""
    devices = np.array([types.SimpleNamespace(process_index=owner) for owner in owners])
    shape = {"data": data, "fsdp": fsdp, "tensor": tensor}
    return types.SimpleNamespace(shape=shape, devices=devices.reshape(data, fsdp, tensor))


@pytest.mark.parametrize(
    ("owners", "sizes", "process", "wanted"),
    [
        ([0, 0, 1, 1], (4, 1, 1), 1, (1, 2)),
        ([0, 0, 1, 1], (1, 2, 2), 1, (1, 2)),
        ([0, 0, 1, 1], (1, 1, 4), 1, (0, 1)),
        ([0, 1, 2, 3], (2, 1, 2), 2, (1, 2)),
        ([0, 1, 0, 1], (2, 2, 1), 1, (1, 2)),
    ],
)
def test_a_process_holds_the_rows_of_its_devices(
    owners: list[int], sizes: tuple, process: int, wanted: tuple, monkeypatch
) -> None:
    monkeypatch.setattr(rows.jax, "process_index", lambda: process)
    assert rows.row_share(mesh_of(owners, *sizes)) == wanted


def test_a_mesh_that_cuts_across_processes_is_refused() -> None:
    with pytest.raises(ConfigError, match="that do not overlap"):
        rows.row_share(mesh_of([0, 0, 0, 1, 1, 1], 3, 1, 2))


# Several processes.


def test_two_processes_train_and_one_of_them_writes(cache: Path, tmp_path: Path) -> None:
    flags = [*SMALL, f"--config.compile_cache={tmp_path / 'programs'}"]
    with Job(tmp_path / "run", cache, flags, processes=2, devices=2) as job:
        workdir = job.finish()
    assert [row["step"] for row in lines(workdir / "metrics.jsonl")] == [1, 2]
    assert (workdir / "checkpoints" / "2").is_dir()
    assert len(list((workdir / "tensorboard").iterdir())) == 1
    assert any((tmp_path / "programs").iterdir()), "nothing was kept of what was compiled"
    assert "2 processes, 2 devices" in job.log(0)
    assert not [line for line in job.log(1).splitlines() if line.startswith("I")]


@pytest.mark.slow
def test_tasks_of_slurm_find_each_other(cache: Path, tmp_path: Path) -> None:
    flags = [*SMALL, "--distributed=on"]
    with Job(tmp_path / "run", cache, flags, processes=2, devices=2, launcher=slurm) as job:
        assert len(read_metrics(job.finish())) == 2
    assert "2 processes, 2 devices" in job.log(0)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_the_number_of_processes_changes_nothing(
    alone: Path, cache: Path, tmp_path: Path, count: int
) -> None:
    with Job(tmp_path / "run", cache, FLAGS, processes=count) as job:
        assert_same_run(job.finish(), alone)


@pytest.mark.slow
def test_processes_that_share_their_rows(alone: Path, cache: Path, tmp_path: Path) -> None:
    flags = [*FLAGS, "--config.mesh.data=1", "--config.mesh.tensor=4"]
    with Job(tmp_path / "run", cache, flags, processes=2) as job:
        assert_same_run(job.finish(), alone)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_a_checkpoint_of_two_resumes_on_others(
    half: Path, alone: Path, cache: Path, tmp_path: Path, count: int
) -> None:
    shutil.copytree(half, tmp_path / "run")
    with Job(tmp_path / "run", cache, FLAGS, processes=count) as job:
        assert_same_run(job.finish(), alone)
    assert "resumed from step 3" in job.log(0)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_is_killed_the_other_ends_and_all_start_again(
    cache: Path, tmp_path: Path, victim: int
) -> None:
    with Job(tmp_path / "run", cache, ENDLESS, processes=2) as job:
        metrics = job.workdir / "metrics.jsonl"
        job.wait_for_lines(metrics, 8)
        job.kill(victim)
        assert job.statuses(GONE_S)[1 - victim] not in (0, -signal.SIGKILL)
        named = "stopped sending heartbeats):\n1\n" if victim else "coordination service"
        assert named in job.log(1 - victim)
    before = lines(metrics)
    with Job(job.workdir, cache, ENDLESS, processes=2) as again:
        again.wait_for_lines(metrics, len(before) + 8)
        again.processes[1].send_signal(signal.SIGTERM)
        again.finish()
        wall_s = time.monotonic() - again.began
    after = lines(metrics)[len(before) :]
    saved = before[-1]["step"] // 3 * 3
    assert after[0]["step"] in (saved + 1, saved - 2), "more than the last save was lost"
    replayed = {row["step"]: row["loss"] for row in before}
    for row in after:
        assert row["loss"] == pytest.approx(replayed.get(row["step"], row["loss"]), rel=1e-5)
    assert after[0]["seconds_lost"] > 0 == before[-1]["seconds_lost"]
    assert seconds(after[-1]) - seconds(before[-1]) == pytest.approx(wall_s, abs=5)


def seconds(row: dict) -> float:
    """All of a row's wall time."""
    return sum(value for name, value in row.items() if name.startswith("seconds_"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "number"), [(0, signal.SIGTERM), (1, signal.SIGTERM), (1, signal.SIGINT)]
)
def test_a_signal_to_one_saves_the_same_step_of_all(
    cache: Path, tmp_path: Path, chosen: int, number: signal.Signals
) -> None:
    with Job(tmp_path / "run", cache, ENDLESS, processes=2) as job:
        metrics = job.workdir / "metrics.jsonl"
        job.wait_for_lines(metrics, 4)
        job.processes[chosen].send_signal(number)
        assert job.statuses(30) == [0, 0], job.log()
    last = lines(metrics)[-1]["step"]
    assert max(int(path.name) for path in (job.workdir / "checkpoints").iterdir()) == last
    assert f"stopped by a signal after step {last}" in job.log(0)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [0, 1])
def test_a_fault_that_one_finds_ends_all(cache: Path, tmp_path: Path, wrong: int) -> None:
    flags = [SMALL, SMALL]
    flags[wrong] = [*SMALL, "--config.data.path=no/such/folder"]
    with Job(tmp_path / "run", cache, flags, processes=2, devices=2) as job:
        assert job.processes[wrong].wait(120) == 2
        began = time.monotonic()
        assert job.processes[1 - wrong].wait(GONE_S) not in (0, None)
        assert time.monotonic() - began < GONE_S
    assert "no/such/folder" in job.log(wrong) and "error:" in job.log(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [0, 1])
def test_a_fault_of_one_amid_the_steps_ends_all_and_loses_no_save(
    cache: Path, tmp_path: Path, wrong: int, monkeypatch
) -> None:
    monkeypatch.setenv("VSFA_FAULTY", str(wrong))
    with Job(tmp_path / "run", cache, FLAGS, processes=2, command="fault_at_step.py") as job:
        assert job.processes[wrong].wait(300) == 2
        assert job.processes[1 - wrong].wait(GONE_S) not in (0, None)
    assert "a made-up fault" in job.log(wrong)
    with Job(tmp_path / "run", cache, FLAGS, processes=2) as again:
        assert [row["step"] for row in read_metrics(again.finish())] == list(range(1, STEPS + 1))
    assert "resumed from step 3" in again.log(0)


EVALUATION = [
    *FLAGS,
    "--config.steps=3",
    "--config.eval.per_kind=16",
    "--config.eval.batch_size=8",
    "--config.eval.max_new_tokens=24",
    "--config.eval.max_unjudged=1.0",  # answers are cut short
]


@pytest.mark.slow
def test_an_evaluation_is_killed_and_goes_on_with_other_processes(
    half: Path, cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(half, tmp_path / "one")
    shutil.copytree(half, tmp_path / "many")
    with Job(tmp_path / "one", cache, EVALUATION, processes=1, command="evaluate") as job:
        wanted = job.finish() / "eval" / "main"
    folder = tmp_path / "many" / "eval" / "main"
    kept = folder / "answered.jsonl"
    with Job(tmp_path / "many", cache, EVALUATION, processes=4, command="evaluate") as job:
        job.wait_for_lines(kept, 40)
        job.kill(1)
        assert 0 not in job.statuses(GONE_S)
    before = lines(kept)
    assert before and not (folder / "table.json").exists()
    with Job(tmp_path / "many", cache, EVALUATION, processes=2, command="evaluate") as job:
        job.wait_for_lines(kept, len(before) + 1)
        job.finish()
    assert not kept.exists()
    found, others = (lines(place / "answers.jsonl") for place in (folder, wanted))
    assert [(row["model"], row["case_id"]) for row in found] == [
        (row["model"], row["case_id"]) for row in others
    ]
    differ = [row for row, other in zip(found, others, strict=True) if row != other]
    assert not differ, f"{len(differ)} of {len(found)} answers differ"
    assert "attack success" in job.log(0) and "attack success" not in job.log(1)
