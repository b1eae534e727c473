"""A run's trained model, from its Orbax checkpoint."""

from __future__ import annotations

import dataclasses

import jax
from etils import epath

from vsfa_jax.assemble import Assembly
from vsfa_jax.checkpoint import restore_params
from vsfa_jax.core.workdir import CHECKPOINTS
from vsfa_jax.models import Vlm
from vsfa_jax.models.parameters import by_name, replace


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run has come to.

    Attributes:
      step: optimizer steps done.
      digest: hash of what was trained.
      model: with it.
    """

    step: int
    digest: str
    model: Vlm


def restore(assembly: Assembly, workdir: epath.PathLike, step: int | None = None) -> Trained:
    """The newest good checkpoint's model, or that of one step.

    Raises:
      CheckpointError: there is none, or it holds other parameters.
    """
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
        by_name(assembly.split.params),
    )
    found = restore_params(epath.Path(workdir) / CHECKPOINTS, abstract, step)
    params = replace(assembly.split.params, found.trees["params"])
    return Trained(found.step, found.digest, assembly.with_params(params))
