"""Starts the processes of one run on this machine, and ends those that are left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
START_S = 300  # a loaded machine's patience for a run to come to its next line


def explicit(count: int, index: int, port: int) -> dict[str, str]:
    """The variables of a process that is told where it stands."""
    return {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(index),
    }


def slurm(count: int, index: int, port: int) -> dict[str, str]:
    """The variables of a task of srun; jax makes a port of the job's number."""
    return {
        "SLURM_JOB_ID": str(port),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(count),
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
    }


class Job:
    """All processes of a run; use as a context manager.

    Args:
      workdir: of the run; logs go beside it.
      cache: of compiled programs, for all jobs of a test module.
      flags: of each process, or of all.
      processes: their number.
      devices: of all processes together.
      command: "train", "evaluate", or a script of tests/.
      launcher: of several processes, gives each its variables.
    """

    def __init__(
        self,
        workdir: Path,
        cache: Path,
        flags: Sequence[str] | Sequence[Sequence[str]],
        *,
        processes: int,
        devices: int = 4,
        command: str = "train",
        launcher: Callable[[int, int, int], dict[str, str]] = explicit,
    ) -> None:
        self.workdir, self._logs = workdir, []
        each = flags if flags and not isinstance(flags[0], str) else [flags] * processes
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices // processes}",
        }
        port = _free_port()
        self.processes = []
        self.began = time.monotonic()
        for index, own in enumerate(each):
            if processes > 1:
                environment |= launcher(processes, index, port)
            path = workdir.parent / f"{workdir.name}.{command}.{processes}.{index}.log"
            self._logs.append(path)
            with path.open("w") as log:
                program = (
                    [f"tests/{command}"]
                    if command.endswith(".py")
                    else ["-m", f"vsfa_jax.{command}"]
                )
                line = [sys.executable, *program, "--config=configs/tiny.py"]
                self.processes.append(
                    subprocess.Popen(
                        [*line, f"--workdir={workdir}", *own],
                        cwd=ROOT,
                        env=environment,
                        stdout=log,
                        stderr=log,
                    )
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for index in range(len(self.processes)):
            self.kill(index)

    def kill(self, index: int) -> None:
        """As a machine that loses power."""
        if self.processes[index].poll() is None:
            self.processes[index].send_signal(signal.SIGKILL)
            self.processes[index].wait()

    def statuses(self, timeout_s: float = START_S) -> list[int]:
        """Waits for all processes to end."""
        deadline = time.monotonic() + timeout_s
        return [each.wait(max(0.1, deadline - time.monotonic())) for each in self.processes]

    def finish(self) -> Path:
        """Waits for all to end well; the workdir."""
        assert set(self.statuses()) == {0}, self.log()
        return self.workdir

    def log(self, index: int | None = None) -> str:
        """What one process said, or all."""
        paths = self._logs if index is None else [self._logs[index]]
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in paths)

    def wait_for_lines(self, path: Path, count: int) -> None:
        """Returns when a file has `count` lines."""
        deadline = time.monotonic() + START_S
        while not path.exists() or path.read_bytes().count(b"\n") < count:
            assert all(each.poll() is None for each in self.processes), self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)


def lines(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a file of JSON, in the order of writing."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])
