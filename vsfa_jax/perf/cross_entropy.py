"""Memory and cycles of the linear cross entropy by the TPU compiler's own account; needs no TPU.

    pip install libtpu==0.0.52
    python -m vsfa_jax.perf.cross_entropy --topology=v5e:2x2

Loss and gradient of 8192 x 3584 x 152064 in bfloat16 on one chip, all rows trained, each case
compiled in a process of its own, some ten seconds each. The table goes to
`vsfa_jax/perf/results/cross_entropy-CHIP.json` too. Cycles are the compiler's static estimates of
what it fused, times the trips of the loop that it stands in; gathers, scatters and copies have no
estimate and are listed in MiB. Nothing was run on a TPU.
"""

from __future__ import annotations

import collections
import functools
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from absl import flags
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.kernels.cross_entropy import linear_cross_entropy
from vsfa_jax.kernels.cross_entropy.chunked import block_size
from vsfa_jax.perf.provenance import provenance
from vsfa_jax.planning.topology import ENVIRONMENT

ROWS, WIDTH, VOCABULARY = 8192, 3584, 152064
RESULTS = Path(__file__).parent / "results"
FORMS = ("naive_float32", "naive_bfloat16", "chunked")
CASES = [f"{form}-{head}" for head in ("frozen", "trained") for form in FORMS]
PACKAGES = ("jax", "jaxlib", "libtpu")

_TOPOLOGY = flags.DEFINE_string("topology", "v5e:2x2", "Of the chip: v5e:2x2, v6e:2x2, v5p:2x2x1.")
_CHUNK = flags.DEFINE_integer("chunk", 1024, "Rows whose logits are held at a time.", 1)
_CASE = flags.DEFINE_enum("case", None, CASES, "Prints one case alone and writes no file.")


def naive_loss(
    hidden: jax.Array, head: jax.Array, targets: jax.Array, weights: jax.Array, dtype: Any
) -> jax.Array:
    """The loss with logits [N, V] held whole, as they come from the product in `dtype`."""
    logits = jnp.dot(hidden, head, preferred_element_type=dtype).astype(jnp.float32)
    return (weights * optax.softmax_cross_entropy_with_integer_labels(logits, targets)).sum()


def compiled(case: str, topology: str, chunk: int) -> tuple[Any, str]:
    """The case's program for one chip, and its HLO after compilation.

    The text is the compiler's own dump: for v6e and v5p some programs cannot be read back.
    """
    form, head = case.split("-")

    if form == "chunked":
        loss = functools.partial(linear_cross_entropy, chunk=chunk)
    else:
        loss = functools.partial(naive_loss, dtype=jnp.dtype(form.removeprefix("naive_")))

    chip = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[0]
    shapes = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=SingleDeviceSharding(chip))
        for shape, dtype in (
            ((ROWS, WIDTH), jnp.bfloat16),
            ((WIDTH, VOCABULARY), jnp.bfloat16),
            ((ROWS,), jnp.int32),
            ((ROWS,), jnp.float32),
        )
    ]
    wanted = (0, 1) if head == "trained" else 0
    lowered = jax.jit(jax.value_and_grad(loss, wanted)).lower(*shapes)
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, str | bool] = {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}
        program = lowered.compile(compiler_options=options)
        [path] = Path(folder).glob("*.after_codegen.txt")
        return program, path.read_text()


def measure(case: str, topology: str, chunk: int) -> dict[str, Any]:
    """Figures of one case, compiled here."""
    program, text = compiled(case, topology, chunk)
    cycles, silent = executed(text, trips_of(case, chunk))
    return {
        "temporaries_mib": round(program.memory_analysis().temp_size_in_bytes / 2**20, 1),
        "cycles": cycles,
        "without_estimate_mib": {name: round(size / 2**20, 1) for name, size in silent.items()},
    }


def trips_of(case: str, chunk: int) -> list[int]:
    """Of each loop in the order of the text, all rows trained: the compiler does not know them.

    Chunks and quarters of one, in which no row is left; blocks of the head's gradient, and in each
    chunks and quarters again.

    Raises:
      ConfigError: the chunk does not divide the rows, so that quarters would run.
    """
    if ROWS % chunk:
        raise ConfigError(f"--chunk: found {chunk}, wanted one that divides {ROWS}")
    form, head = case.split("-")
    if form != "chunked":
        return []
    rows = [ROWS // chunk, 0]
    blocks = math.ceil(VOCABULARY / block_size(VOCABULARY, WIDTH, chunk))
    return [*rows, blocks, *rows] if head == "trained" else rows


def executed(text: str, trips: Sequence[int]) -> tuple[int, dict[str, int]]:
    """Cycles of a compiled program, and bytes written by what has no estimate, by operation.

    Args:
      text: the program's HLO after compilation.
      trips: of each loop of unknown length, in the order of the text.
    """
    computations = _computations(text)
    unknown = iter(trips)
    silent: collections.Counter[str] = collections.Counter()

    def run(name: str, times: int) -> int:
        total = 0
        for line in computations[name]:
            operation = _operation(line)
            estimate = re.search(r'"estimated_cycles":"(\d+)"', line)
            if estimate:
                total += times * int(estimate[1])
            elif operation in ("gather", "scatter", "sort", "copy-start", "copy"):
                silent[operation.removesuffix("-start")] += times * _bytes(line)
            if operation == "while":
                known = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
                count = int(known[1]) if known else next(unknown, None)
                if count is None:
                    raise ValueError(f"trips: found {trips}, the program has more loops")
                total += run(_attribute(line, "body"), times * count)
            elif operation in ("call", "async-start", "conditional"):
                total += sum(run(name, times) for name in _called(line))
        return total

    total = run("ENTRY", 1)
    if next(unknown, None) is not None:
        raise ValueError(f"trips: found {trips}, the program has fewer loops of unknown length")
    return total, dict(sorted(silent.items()))


def _computations(text: str) -> dict[str, list[str]]:
    """The instructions of each computation; the first one executed is "ENTRY"."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        if head:
            lines = found.setdefault("ENTRY" if head[1] else head[2], [])
        elif " = " in line:
            lines.append(line)
    return found


def _operation(line: str) -> str:
    """What an instruction does; a fusion around a gather or scatter is one of these."""
    operation = re.search(r" ([a-z][a-z\-]*)\(", line.partition(" = ")[2])
    name = operation[1] if operation else ""
    if name == "fusion" and "kind=kCustom" in line:
        path = re.search(r'op_name="[^"]*/([\w\-]+)"', line)
        return path[1] if path else name
    return name


def _bytes(line: str) -> int:
    """Of the first array of an instruction's result."""
    sizes = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "s16": 2, "s32": 4, "u32": 4, "f32": 4}
    found = re.search(r"(\w+)\[([\d,]*)\]", line.partition(" = ")[2])
    if not found:
        return 0
    count = 1
    for size in filter(None, found[2].split(",")):
        count *= int(size)
    return count * sizes[found[1]]


def _attribute(line: str, name: str) -> str:
    found = re.search(rf"\b{name}=%?([\w.\-]+)", line)
    if not found:
        raise ValueError(f"no {name}= in {line[:200]!r}")
    return found[1]


def _called(line: str) -> Iterator[str]:
    """The computations that a call runs; of a conditional all branches."""
    for names in re.findall(r"(?:to_apply|calls|branch_computations)=\{?([^}\s]+)", line):
        yield from re.findall(r"[\w.\-]+", names)


def table(figures: dict[str, dict[str, Any]]) -> str:
    """A line a case, with its ratios to both naive ones of the same head."""
    lines = [f"{'case':<24} {'MiB':>8} {'Mcycles':>8}   of naive float32    of naive bfloat16"]
    for case, own in figures.items():
        head = case.split("-")[1]
        ratios = []
        for form in FORMS[:2]:
            other = figures[f"{form}-{head}"]
            parts = (own[key] / other[key] for key in ("temporaries_mib", "cycles"))
            ratios.append(" ".join(f"{part:8.3f}" for part in parts))
        lines.append(
            f"{case:<24} {own['temporaries_mib']:>8.1f} {own['cycles'] / 1e6:>8.1f} "
            + "  ".join(ratios)
        )
    return "\n".join(lines)


def measure_apart(case: str, topology: str, chunk: int) -> dict[str, Any]:
    """Figures of one case, compiled in a new process.

    Raises:
      ConfigError: the compiler refuses, with the end of what it says.
    """
    command = [sys.executable, "-m", "vsfa_jax.perf.cross_entropy", f"--topology={topology}"]
    done = subprocess.run(
        [*command, f"--chunk={chunk}", f"--case={case}"],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ConfigError(f"{case} on {topology}: {done.stderr[-1000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main(topology: str, chunk: int, case: str | None) -> None:
    """Runs under `core.main`."""
    if case is not None:
        print(json.dumps(measure(case, topology, chunk)))
        return
    figures = {each: measure_apart(each, topology, chunk) for each in CASES}
    print(table(figures))
    made = {
        **provenance("vsfa_jax.perf.cross_entropy", PACKAGES),
        "shape": {"rows": ROWS, "width": WIDTH, "vocabulary": VOCABULARY, "dtype": "bfloat16"},
        "what": "the compiler's static estimates for one chip, all rows trained; not a measurement",
        "cases": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"cross_entropy-{topology.partition(':')[0]}.json"
    path.write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    entry.run(main, {"topology": _TOPOLOGY, "chunk": _CHUNK, "case": _CASE})
