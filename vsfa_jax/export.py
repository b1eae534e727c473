"""Writes a fully fine-tuned model as a Hugging Face checkpoint directory.

    python -m vsfa_jax.export --config=configs/tiny_base.py --workdir=runs/base \\
        --format=hf --out=base

The weights are bfloat16; tokenizer, template and processor files are the base model's. What was
written is read back before it is moved to its place.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from absl import flags, logging
from flax import nnx

from vsfa_jax import models
from vsfa_jax.assemble import assemble
from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import CheckpointError, ConfigError
from vsfa_jax.models.parameters import by_name
from vsfa_jax.models.weights import write_weights
from vsfa_jax.provenance import check_workdir, settings_of_run
from vsfa_jax.restore import restore


def export(settings: Settings, workdir: Path, out: Path) -> None:
    """Writes the newest good checkpoint of `workdir` to `out`.

    Raises:
      ConfigError: `out` exists, or the run trained an adapter only.
      CheckpointError: no good checkpoint, or what was written does not read back.
    """
    if out.exists():
        raise ConfigError(f"--out: {out} exists; wanted a new path")
    settings = settings_of_run(settings, workdir)
    if settings.train.mode != "full":
        raise ConfigError("train.mode: found 'lora', wanted 'full': an adapter is no whole model")
    assembly = assemble(settings)
    check_workdir(settings, assembly, workdir)
    step, tuned = restore(assembly, workdir)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        made = Path(folder) / "made"
        shutil.copytree(tuned.directory, made, ignore=shutil.ignore_patterns("*.safetensors*"))
        write_weights(
            made / "model.safetensors",
            assembly.family,
            by_name(tuned.model),
            tuned.config.patch_size,
        )
        _read_back(made, tuned.model)
        made.rename(out)
    logging.info("step %d of %s: %s", step, workdir, out)


def _read_back(directory: Path, model: nnx.Module) -> None:
    """Raises CheckpointError where the written weights are not the model's, rounded."""
    written = by_name(models.load(directory).model)
    for name, value in by_name(model).items():
        rounded = np.asarray(value.astype(jnp.bfloat16), np.float32)
        if not np.array_equal(np.asarray(written[name], np.float32), rounded):
            raise CheckpointError(f"{directory}: {name} does not read back as it was written")


def main(settings: Settings, workdir: Path) -> None:
    """Runs under `core.main`."""
    export(settings, workdir, Path(flags.FLAGS.out))


if __name__ == "__main__":
    flags.DEFINE_enum("format", "hf", ["hf"], "hf: a whole checkpoint directory.")
    flags.DEFINE_string("out", None, "Directory to write; must not exist.", required=True)
    entry.run(main)
