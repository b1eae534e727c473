"""One measurement by the TPU compiler in a process of its own, without a TPU.

The compiler ends the whole process where its simulator meets something that it does not know, so
each figure is taken in a fresh one: `python -m vsfa_jax.perf.tpu_compiler < job.json`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vsfa_jax.kernels.attention.shapes import Shape
from vsfa_jax.perf import bundles
from vsfa_jax.perf.chips import CHIPS
from vsfa_jax.perf.contender import Blocks, Contender
from vsfa_jax.planning.topology import ENVIRONMENT

_SHOWN = 200  # characters of a compiler's last words


@dataclasses.dataclass(frozen=True)
class Job:
    """What one process compiles.

    Attributes:
      contender: a name of `kernels.CONTENDERS`.
      chip: a name of `CHIPS`.
      shape: of the arguments.
      direction: "forward" or "backward".
      blocks: the contender's sizes.
    """

    contender: str
    chip: str
    shape: Shape
    direction: str
    blocks: Blocks


@dataclasses.dataclass(frozen=True)
class Part:
    """One kernel of a measurement: libtpu's cycles or None, bytes of HBM, its schedule's blocks."""

    cycles: int | None
    bytes: int
    blocks: tuple[bundles.Block, ...]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The figures of one job.

    Attributes:
      failure: why there are none; "" if there are.
      parts: by the contender's name of the part.
      temporary_bytes: of HBM, of the whole program.
      seconds: that it took.
    """

    failure: str
    parts: dict[str, Part]
    temporary_bytes: int
    seconds: float


def measure(job: Job, *, simulate: bool, timeout_s: float) -> Measurement:
    """Compiles in a fresh process; what goes wrong there is the measurement's `failure`."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        flags = [
            f"--xla_tpu_scoped_vmem_limit_kib={CHIPS[job.chip].vmem_limit_kib}",
            f"--xla_jf_dump_to={folder}",
        ]
        if simulate:
            (Path(folder) / "profile").mkdir()
            flags.append(f"--xla_jf_dump_static_llo_profile_to={folder}/profile")
        environment = {**os.environ, **ENVIRONMENT, "LIBTPU_INIT_ARGS": " ".join(flags)}
        command = [sys.executable, "-m", _MODULE, folder]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(dataclasses.asdict(job)),
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Measurement(f"no figure in {timeout_s:.0f} s", {}, 0, timeout_s)
    seconds = round(time.monotonic() - started, 1)
    if done.returncode:
        return Measurement(_last_words(done.returncode, done.stderr), {}, 0, seconds)
    return dataclasses.replace(from_json(json.loads(done.stdout.splitlines()[-1])), seconds=seconds)


_MODULE = "vsfa_jax.perf.tpu_compiler"


def _last_words(status: int, stderr: str) -> str:
    """The line of a compiler's complaint that says most."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if any(word in line for word in ("Error", "Check failed", "RESOURCE_EXHAUSTED", "F0000"))
        and "worker hostname" not in line
    ]
    said = (telling or lines or ["no word"])[-1]
    kind = f"signal {-status}" if status < 0 else f"status {status}"
    return f"{kind}: {said[:_SHOWN]}"


def from_json(found: dict[str, Any]) -> Measurement:
    """A measurement from what `dataclasses.asdict` made of one."""
    parts = {
        name: Part(part["cycles"], part["bytes"], tuple(bundles.Block(**b) for b in part["blocks"]))
        for name, part in found["parts"].items()
    }
    return Measurement(**{**found, "parts": parts})


def compile_here(job: Job, contender: Contender, folder: Path) -> Measurement:
    """Compiles for the job's chip in this process, whose environment `measure` has set."""
    import jax
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    topology = topologies.get_topology_desc(platform="tpu", topology_name=CHIPS[job.chip].topology)
    mesh = Mesh(np.array(topology.devices[:1]), ("x",))
    sharding = NamedSharding(mesh, PartitionSpec())
    # kernels ask for the device that they are traced for
    with jax.set_mesh(mesh), jax.default_device(topology.devices[0]):
        function, arguments = contender.build(job.shape, job.direction, job.blocks)
        placed = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding) for a in arguments]
        program = jax.jit(function).lower(*placed).compile()
    found = bundles.kernels(program.as_text() or "")
    parts = {
        part: _part(text, found, folder) for part, text in contender.parts[job.direction].items()
    }
    memory = program.memory_analysis()
    temporary = memory.temp_size_in_bytes if memory else 0
    return Measurement("", parts, temporary, 0.0)


def _part(text: str, found: list[bundles.Kernel], folder: Path) -> Part:
    """The kernel whose name holds `text`, with its schedule.

    Raises:
      LookupError: there is not exactly one.
    """
    named = [kernel for kernel in found if text in kernel.name]
    if len(named) != 1:
        raise LookupError(f"wanted one kernel {text!r}, found {[k.name for k in found]}")
    [kernel] = named
    schedules = [
        path
        for path in folder.glob(f"*-{kernel.name}-*final_bundles.txt")
        if "schedule-analysis" not in path.name
    ]
    if len(schedules) != 1:
        raise LookupError(f"wanted one schedule of {kernel.name}, found {len(schedules)}")
    return Part(kernel.cycles, kernel.bytes, tuple(bundles.blocks(schedules[0].read_text())))


def main() -> None:
    """Reads a job from standard input and prints its measurement as one line of JSON."""
    from vsfa_jax.perf.contenders import CONTENDERS

    given = json.load(sys.stdin)
    shape = given.pop("shape")
    segments = shape.pop("segments")
    job = Job(**given, shape=Shape(**shape, segments=segments and tuple(segments)))
    measured = compile_here(job, CONTENDERS[job.contender], Path(sys.argv[1]))
    print(json.dumps(dataclasses.asdict(measured)))


if __name__ == "__main__":
    main()
