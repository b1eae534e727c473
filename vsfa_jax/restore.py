"""A run's trained model, from its Orbax checkpoint."""

from __future__ import annotations

from pathlib import Path

import jax

from vsfa_jax.assemble import Assembly
from vsfa_jax.checkpoint import restore_params
from vsfa_jax.models import Vlm
from vsfa_jax.models.parameters import by_name, replace


def restore(assembly: Assembly, workdir: Path) -> tuple[int, Vlm]:
    """The newest good checkpoint's step and its model.

    Raises:
      CheckpointError: there is none, or it holds other parameters.
    """
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
        by_name(assembly.split.params),
    )
    found = restore_params(workdir / "checkpoints", abstract)
    params = replace(assembly.split.params, found.trees["params"])
    return found.step, assembly.with_params(params)
