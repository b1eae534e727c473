"""Measures many configurations, two at a time, and keeps each measurement in a scratch folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vsfa_jax.perf import bundles, tpu_compiler
from vsfa_jax.perf.chips import CHIPS
from vsfa_jax.perf.contenders import CONTENDERS
from vsfa_jax.perf.provenance import versions
from vsfa_jax.perf.tpu_compiler import Job, Measurement

KERNELS = Path(__file__).resolve().parents[1] / "kernels" / "attention"
PACKAGES = ("jax", "libtpu", "tokamax")  # whose versions decide a figure
_PROCESSES = 2
_KILLED = f"signal {signal.SIGKILL.value}:"  # not by the compiler: out of memory, as a rule


def measure_all(
    jobs: list[Job], scratch: Path, *, timeout_s: float, show: Callable[[str], None]
) -> list[Measurement]:
    """The measurements of all jobs, in order; those in `scratch` are not taken again."""
    scratch.mkdir(parents=True, exist_ok=True)

    def one(job: Job) -> Measurement:
        kept = scratch / f"{_key(job)}.json"
        if kept.exists():
            return tpu_compiler.from_json(json.loads(kept.read_text())["measurement"])
        measured = _measure(job, timeout_s)
        cycles = {name: part.cycles for name, part in measured.parts.items()}
        show(f"{job.contender} {job.direction} {job.blocks}: {measured.failure or cycles}")
        if measured.seconds >= timeout_s or measured.failure.startswith(_KILLED):
            return measured  # another time there may be room
        text = json.dumps(
            {"job": dataclasses.asdict(job), "measurement": dataclasses.asdict(measured)}
        )
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(text)
        partial.replace(kept)
        return measured

    with ThreadPoolExecutor(_PROCESSES) as pool:
        return list(pool.map(one, jobs))


def _measure(job: Job, timeout_s: float) -> Measurement:
    """With cycles where libtpu can estimate them; where that ends its process, without."""
    simulate = CONTENDERS[job.contender].is_simulated and job.shape.segments is None
    measured = tpu_compiler.measure(job, simulate=simulate, timeout_s=timeout_s)
    ended = measured.failure.startswith("signal") and not measured.failure.startswith(_KILLED)
    if simulate and ended:
        return tpu_compiler.measure(job, simulate=False, timeout_s=timeout_s)
    return measured


def _key(job: Job) -> str:
    """Names what decides a measurement: the job, versions, and code.

    The code is that which takes it, and for our kernels their own. How a contender is called is
    not in it, or one more size to sweep over would undo all measurements.
    """
    paths = [Path(str(module.__file__)) for module in (bundles, tpu_compiler)]
    paths += sorted(KERNELS.glob("*.py")) if job.contender == "ours" else []
    code = b"".join(path.read_bytes() for path in paths)
    limit = CHIPS[job.chip].vmem_limit_kib
    text = json.dumps([dataclasses.asdict(job), limit, versions(PACKAGES)], sort_keys=True)
    return hashlib.sha256(text.encode() + code).hexdigest()[:20]
