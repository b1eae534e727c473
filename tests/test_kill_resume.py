"""A run killed at five random moments ends bitwise where one that was never killed ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vsfa_jax.metrics import read_metrics

ROOT = Path(__file__).parents[1]
STEPS = 60
CHECKPOINT_EVERY = 3
START_S = 120  # a loaded machine's patience for a run to come to its next step


class Run:
    """A training process and its workdir."""

    def __init__(self, workdir: Path, cache: Path) -> None:
        self.workdir = workdir
        self._log = workdir.parent / f"{workdir.name}.log"
        command = [
            sys.executable,
            "-m",
            "vsfa_jax.train",
            "--config=configs/tiny.py",
            f"--workdir={workdir}",
            f"--config.steps={STEPS}",
            "--config.model.init=random",
            f"--config.checkpoint_every={CHECKPOINT_EVERY}",
            "--config.eval_every=0",
            "--config.batch_rows=8",
            "--config.data.size=64",
            "--config.data.validation_size=8",
        ]
        # The unkilled run compiles for all of them: the kills are to hit steps, not compilation.
        fast = {
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **fast}, stdout=log, stderr=log
            )

    def finish(self, timeout_s: float = START_S) -> None:
        assert self.process.wait(timeout_s) == 0, self._log.read_text()

    def wait_for_line(self, count: int) -> None:
        """Returns when metrics.jsonl has `count` lines, replayed ones among them."""
        deadline = time.monotonic() + START_S
        while len(lines(self.workdir)) < count:
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def lines(workdir: Path) -> list[dict]:
    """Every whole line of metrics.jsonl, in the order of writing."""
    path = workdir / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def losses(rows: list[dict]) -> list[tuple[int, str, str]]:
    return [(row["step"], row["loss"].hex(), row["grad_norm"].hex()) for row in rows]


def saved_digests(workdir: Path, step: int) -> dict:
    """Of every leaf of adapter and optimizer; `restore` holds the arrays against them."""
    sealed = json.loads((workdir / "checkpoints" / str(step) / "meta" / "metadata").read_text())
    document = json.loads(sealed["document"])
    return {name: document["leaves"][name] for name in ("params", "optimizer")}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    workdir = tmp_path_factory.mktemp("unkilled") / "run"
    Run(workdir, cache).finish()
    return workdir


@pytest.mark.slow
def test_killed_five_times_and_resumed_is_bitwise_never_killed(
    unkilled: Path, cache: Path, tmp_path: Path
) -> None:
    draw = random.Random(0)
    workdir = tmp_path / "run"
    for moment in ("start", "anywhere", "anywhere", "anywhere", "between checkpoints"):
        run = Run(workdir, cache)
        if moment == "start":
            time.sleep(draw.uniform(1, 6))
        else:  # few new lines a run, so that the kills fit before the end
            run.wait_for_line(len(lines(workdir)) + draw.randint(1, 4))
        if moment == "anywhere":
            time.sleep(draw.uniform(0, 0.3))
        while (
            moment == "between checkpoints" and lines(workdir)[-1]["step"] % CHECKPOINT_EVERY != 1
        ):
            time.sleep(0.005)
        assert run.process.poll() is None, "the run ended before it could be killed"
        run.kill()
    Run(workdir, cache).finish()

    wanted = losses(read_metrics(unkilled))
    assert [step for step, *_ in wanted] == list(range(1, STEPS + 1))
    assert losses(read_metrics(workdir)) == wanted
    replayed = lines(workdir)
    assert len(replayed) > STEPS, "no step was done twice: the kills hit nothing"
    assert set(losses(replayed)) == set(wanted), "a replayed step had another loss"
    assert saved_digests(workdir, STEPS) == saved_digests(unkilled, STEPS)


def test_sigterm_saves_the_step_and_the_rest_is_bitwise_the_same(
    unkilled: Path, cache: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    run = Run(workdir, cache)
    run.wait_for_line(4)
    run.process.send_signal(signal.SIGTERM)
    run.finish(timeout_s=5)
    stopped = lines(workdir)[-1]["step"]
    saved = [int(path.name) for path in (workdir / "checkpoints").iterdir()]
    assert max(saved) == stopped < STEPS
    Run(workdir, cache).finish()
    assert losses(lines(workdir)) == losses(read_metrics(unkilled)), "a step was done twice"
    assert saved_digests(workdir, STEPS) == saved_digests(unkilled, STEPS)
