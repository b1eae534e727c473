"""A compiled program as the compiler wrote it down, kept so that it need not be compiled again.

    DIRECTORY/<hash>/program.txt.gz     the optimised, scheduled HLO
    DIRECTORY/<hash>/memory.json        bytes of its memory; or what the compiler refused it with

The hash is over what was lowered and the compiler's version. Compiling is done by a process of its
own: where the compiler meets a fault of its own it ends the whole process. jax cannot always read a
libtpu program back (its parser knows other asynchronous pairs), so the text is the compiler's dump.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from vsfa_jax.core.config import Settings, load, to_dict
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.paths import write_atomic, write_json
from vsfa_jax.data.batch import Budget
from vsfa_jax.planning import topology
from vsfa_jax.planning.job import Job, make_job

FIELDS = (
    *("argument", "output", "alias", "temp", "generated_code"),
    *("host_argument", "host_output", "host_temp"),
)
_TEXT, _MEMORY = "program.txt.gz", "memory.json"
_TELLING = ("Check failed", "RET_CHECK", "INTERNAL", "Error")
_SHOWN = 300  # letters of a compiler's last words


@dataclasses.dataclass(frozen=True)
class Request:
    """What is compiled, in what a process can be told.

    Attributes:
      settings: of the run.
      topology: of a slice.
      num_slices: how many.
      program: "train" or "eval".
      budget: of a row.
    """

    settings: Settings
    topology: str
    num_slices: int
    program: str
    budget: Budget

    def job(self) -> Job:
        """The job in shapes.

        Raises:
          ConfigError: it cannot be cut so.
        """
        return make_job(self.settings, topology.devices(self.topology, self.num_slices))

    def lower(self, job: Job) -> jax.stages.Lowered:
        """The program as the compiler takes it."""
        lower = job.lower_train if self.program == "train" else job.lower_eval
        with jax.set_mesh(job.mesh):
            return lower(self.budget)


@dataclasses.dataclass(frozen=True)
class Program:
    """What the compiler made of one function.

    Attributes:
      text: HLO; "" where the program was refused.
      bytes: by `FIELDS`, of one device, or of its host.
      refusal: the compiler's words where the program does not fit its memory; "" where it does.
      compile_s: seconds that compiling took, when it was compiled.
    """

    text: str
    bytes: dict[str, int]
    refusal: str
    compile_s: float


def compile_program(request: Request, job: Job, cache: Path | None) -> Program:
    """Compiles, or reads what was compiled before.

    Args:
      request: what.
      job: its job.
      cache: where programs are kept; None keeps none.

    Raises:
      ConfigError: the compiler failed for another reason than memory.
    """
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) if cache is None else cache
        folder = root / _hash(request.lower(job), job)
        if not (folder / _MEMORY).exists():
            _compile_apart(request, folder)
        return _read(folder)


def _hash(lowered: jax.stages.Lowered, job: Job) -> str:
    """Of the program, the devices and the compiler."""
    devices = list(job.mesh.devices.flat)
    about = [
        lowered.as_text(),
        importlib.metadata.version("libtpu"),
        devices[0].device_kind,
        str([(device.id, getattr(device, "coords", None)) for device in devices]),
    ]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:32]


def _compile_apart(request: Request, folder: Path) -> None:
    """`main` in a process of its own."""
    given = {
        "settings": to_dict(request.settings),
        "topology": request.topology,
        "num_slices": request.num_slices,
        "program": request.program,
        "budget": dataclasses.astuple(request.budget),
    }
    command = [sys.executable, "-m", "vsfa_jax.planning.program", str(folder)]
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConfigError(f"plan: the compiler ended itself: {_last_words(done.stderr)}")


def _last_words(said: str) -> str:
    """The line that says most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in _TELLING)]
    return (telling or lines or ["not a word"])[-1][:_SHOWN]


def _read(folder: Path) -> Program:
    """A program that was kept.

    Raises:
      ConfigError: its files are damaged.
    """
    try:
        about = json.loads((folder / _MEMORY).read_text())
        text = gzip.decompress((folder / _TEXT).read_bytes()).decode()
        return Program(text, about["bytes"], about["refusal"], about["compile_s"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ConfigError(f"--cache: {folder} cannot be read ({error}); delete it") from error


def compile_here(lowered: Any) -> Program:
    """Compiles in this process; the mesh in use is the program's.

    Raises:
      jax.errors.JaxRuntimeError: the compiler failed for another reason than memory.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as dump:
        options = {"xla_dump_to": dump, "xla_dump_hlo_as_text": True}
        try:
            compiled = lowered.compile(compiler_options=options)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return Program("", {}, str(error), time.monotonic() - began)
        texts = sorted(Path(dump).glob("*.after_optimizations.txt"), key=lambda p: p.stat().st_size)
        text = texts[-1].read_text()
    found = compiled.memory_analysis()
    sizes = {name: int(getattr(found, f"{name}_size_in_bytes")) for name in FIELDS}
    return Program(text, sizes, "", time.monotonic() - began)


def main() -> None:
    """Reads a request from standard input and writes its program to the folder that it is given."""
    topology.prepare_environment()
    given, folder = json.load(sys.stdin), Path(sys.argv[1])
    given["settings"], given["budget"] = load(given["settings"]), Budget(*given["budget"])
    request = Request(**given)
    job = request.job()
    with jax.set_mesh(job.mesh):
        program = compile_here(request.lower(job))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / _TEXT, gzip.compress(program.text.encode(), 6))
    about = {key: getattr(program, key) for key in ("bytes", "refusal", "compile_s")}
    write_json(folder / _MEMORY, about)  # last: where it is, all of it is


if __name__ == "__main__":
    main()
