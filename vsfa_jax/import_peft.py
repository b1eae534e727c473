"""Takes an adapter in PEFT's format as a run of its own, to be evaluated or exported.

    python -m vsfa_jax.import_peft --config=configs/tiny.py --workdir=runs/theirs --adapter=DIR

Rank, scale and layers are the adapter's; the base model is the config's.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags, logging

from vsfa_jax import models, peft_adapter, tinyworld
from vsfa_jax.assemble import assemble
from vsfa_jax.checkpoint import Checkpointer
from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings, to_dict
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.models.parameters import by_name
from vsfa_jax.provenance import manifest


def import_peft(settings: Settings, workdir: Path, adapter: Path) -> None:
    """Makes `workdir` a finished run that trained this adapter.

    Raises:
      ConfigError: `workdir` exists.
      WeightsError: the adapter cannot be read, or does not fit the model.
    """
    if workdir.exists():
        raise ConfigError(f"--workdir: {workdir} exists; wanted a new path")
    base = settings.model
    directory = models.resolve(tinyworld.resolve_model(base.path), base.revision)
    family, skeleton = models.skeleton(directory, base.completed_from)
    found, values = peft_adapter.read(adapter, family, skeleton)
    lora = dataclasses.replace(
        settings.lora,
        rank=found.rank,
        alpha=found.alpha,
        targets=tuple(found.targets),
        dora=found.dora,
        rank_stabilized=found.rank_stabilized,
    )
    train = dataclasses.replace(settings.train, mode="lora")
    # the adapter says what was trained, no rate does
    optimizer = dataclasses.replace(
        settings.optimizer, vision_rate=1.0, projector_rate=1.0, language_rate=1.0
    )
    settings = dataclasses.replace(settings, lora=lora, train=train, optimizer=optimizer)
    assembly = assemble(settings)
    shapes = by_name(assembly.split.params)
    peft_adapter.check_shapes(values, shapes, adapter)
    params = {
        name: jax.device_put(jnp.asarray(values[name]), leaf.sharding)
        for name, leaf in shapes.items()
    }
    manifest(settings, assembly, None).open(workdir, to_dict(settings))
    with Checkpointer(workdir / "checkpoints", every=0) as checkpoints:
        checkpoints.save(0, {"params": params}, {"data": None}, force=True)
    logging.info("%s: %d tensors of rank %d", workdir, len(params), found.rank)


def main(settings: Settings, workdir: Path) -> None:
    """Runs under `core.main`."""
    import_peft(settings, workdir, Path(flags.FLAGS.adapter))


if __name__ == "__main__":
    flags.DEFINE_string("adapter", None, "Directory that PEFT wrote.", required=True)
    entry.run(main)
