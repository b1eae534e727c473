"""Writes a trained model, or its adapter, for others to load.

    python -m vsfa_jax.export --config=configs/tiny.py --workdir=runs/tiny --format=peft \\
        --out=adapter
    python -m vsfa_jax.export --config=configs/tiny.py --workdir=runs/tiny --format=hf --out=model

"peft" is an adapter that PEFT loads on the base model. "hf" is a whole checkpoint directory, the
adapter merged; tokenizer, template and processor files are the base model's. What was written is
read back before it is moved to its place: an adapter that changes nothing, or a tensor outside it
that changed, is refused.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from absl import flags, logging

from vsfa_jax import hf_checkpoint, peft_adapter
from vsfa_jax.assemble import Assembly, adapter_config, assemble
from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.models.parameters import by_name
from vsfa_jax.provenance import check_workdir, settings_of_run
from vsfa_jax.restore import restore


def export(settings: Settings, workdir: Path, out: Path, format: str, dtype: str) -> None:
    """Writes the newest good checkpoint of `workdir` to `out`.

    Args:
      settings: the command's.
      workdir: of the run.
      out: a new path.
      format: "hf" or "peft".
      dtype: of an "hf" checkpoint's tensors.

    Raises:
      ConfigError: `out` exists, or the run trained no adapter and one is wanted.
      CheckpointError: no good checkpoint.
      WeightsError: what was written does not read back, or an adapter changes nothing.
    """
    if out.exists():
        raise ConfigError(f"--out: {out} exists; wanted a new path")
    settings = settings_of_run(settings, workdir)
    exact = dataclasses.replace(settings.model, quantize="none")  # merged into the base as it lies
    settings = dataclasses.replace(settings, model=exact)
    if format == "peft" and settings.train.mode != "lora":
        raise ConfigError("--format: found 'peft', wanted 'hf': the run trained no adapter")
    assembly = assemble(settings)
    check_workdir(settings, assembly, workdir)
    trained = restore(assembly, workdir)
    tuned = trained.model
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        made = Path(folder) / "made"
        if format == "hf":
            kind = jnp.dtype(dtype)
            hf_checkpoint.write(made, tuned.directory, assembly.family, tuned.model, kind)
        else:
            _write_adapter(made, settings, assembly, tuned.model)
        made.rename(out)
    logging.info("step %d of %s: %s", trained.step, workdir, out)


def _write_adapter(made: Path, settings: Settings, assembly: Assembly, model: Any) -> None:
    values = {name: value for name, value in by_name(model).items() if "/adapter/" in name}
    made.mkdir()
    config, base = adapter_config(settings), settings.model.path
    peft_adapter.write(made, assembly.family, model, config, values, base)


def main(settings: Settings, workdir: Path) -> None:
    """Runs under `core.main`."""
    chosen = flags.FLAGS
    export(settings, workdir, Path(chosen.out), chosen.format, chosen.dtype)


if __name__ == "__main__":
    flags.DEFINE_enum("format", "hf", ["hf", "peft"], "A whole checkpoint, or the adapter alone.")
    flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "Of --format=hf's tensors.")
    flags.DEFINE_string("out", None, "Directory to write; must not exist.", required=True)
    entry.run(main)
