"""A compiled program as the compiler wrote it down, kept so that it need not be compiled again.

    DIRECTORY/<hash>/program.txt.gz     the optimised, scheduled HLO
    DIRECTORY/<hash>/memory.json        bytes of its memory; or what the compiler refused it with

The hash is over what was lowered and the compiler's version. jax cannot always read a libtpu
program back (its parser knows other asynchronous pairs), so the text is the compiler's own dump.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import importlib.metadata
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.paths import write_atomic, write_json

FIELDS = (
    *("argument", "output", "alias", "temp", "generated_code"),
    *("host_argument", "host_output", "host_temp"),
)
_TEXT, _MEMORY = "program.txt.gz", "memory.json"


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


def compile_program(lower: Any, mesh: Mesh, cache: Path | None) -> Program:
    """Compiles, or reads what was compiled before.

    Args:
      lower: a function without arguments that gives jax.stages.Lowered.
      mesh: that the program is for.
      cache: where programs are kept; None keeps none.

    Raises:
      ConfigError: the compiler failed for another reason than memory.
    """
    with jax.set_mesh(mesh):
        lowered = lower()
    folder = None if cache is None else cache / _hash(lowered, mesh)
    if folder is not None and (folder / _MEMORY).exists():
        return _read(folder)
    program = _compile(lowered, mesh)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / _TEXT, gzip.compress(program.text.encode(), 6))
        about = {key: getattr(program, key) for key in ("bytes", "refusal", "compile_s")}
        write_json(folder / _MEMORY, about)  # last: where it is, all of it is
    return program


def _compile(lowered: Any, mesh: Mesh) -> Program:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as dump:
        options = {"xla_dump_to": dump, "xla_dump_hlo_as_text": True}
        try:
            with jax.set_mesh(mesh):
                compiled = lowered.compile(compiler_options=options)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                first = str(error).splitlines()[0]
                raise ConfigError(f"plan: the compiler failed: {first}") from error
            return Program("", {}, str(error), time.monotonic() - began)
        texts = sorted(Path(dump).glob("*.after_optimizations.txt"), key=lambda p: p.stat().st_size)
        text = texts[-1].read_text()
    found = compiled.memory_analysis()
    sizes = {name: int(getattr(found, f"{name}_size_in_bytes")) for name in FIELDS}
    return Program(text, sizes, "", time.monotonic() - began)


def _hash(lowered: Any, mesh: Mesh) -> str:
    """Of the program, the devices and the compiler."""
    device = mesh.devices.flat[0]
    about = [
        lowered.as_text(),
        importlib.metadata.version("libtpu"),
        getattr(device, "device_kind", ""),
        str([(d.id, getattr(d, "coords", None)) for d in mesh.devices.flat]),
    ]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:32]


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
