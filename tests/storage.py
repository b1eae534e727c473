"""A small train-like state on eight devices (or one), and ways to damage a checkpoint of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2))


def mesh() -> Mesh:
    return Mesh(np.array(jax.devices()).reshape(-1), ("fsdp",))


def trees(seed: int, width: int = 16, dtype: Any = jnp.float32) -> dict[str, Any]:
    """Params by name, and optax's state whose moments are an nnx.State, as training has them."""
    values = np.random.default_rng(seed)
    split = NamedSharding(mesh(), PartitionSpec("fsdp"))
    whole = NamedSharding(mesh(), PartitionSpec())
    names = ("layers/q/lora_a", "layers/q/lora_b", "layers/v/lora_a")

    def draw() -> Any:
        return jnp.asarray(values.standard_normal((width, 8)), dtype)

    params = {name: jax.device_put(draw(), split) for name in names}
    nested = nnx.State({"layers": {"q": nnx.LoRAParam(params[names[0]])}})
    moments = OPTIMIZER.init(nested)
    moments = jax.tree.map(
        lambda leaf: jax.device_put(leaf, split if leaf.ndim else whole), moments
    )
    return {"params": params, "optimizer": moments}


def abstract(tree: Any) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), tree
    )


def same(one: Any, two: Any) -> bool:
    """Equal structure, values, dtypes and shardings, bit for bit."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return jax.tree.structure(one) == jax.tree.structure(two) and all(
        a.dtype == b.dtype and a.sharding == b.sharding and np.array_equal(a, b) for a, b in pairs
    )


def data_files(directory: Path, step: int) -> list[Path]:
    return sorted(path for path in (directory / str(step)).rglob("*") if path.is_file())


def flip(path: Path, bit: int) -> None:
    """Turns over one bit of a file; `bit` counts from its start and wraps."""
    content = bytearray(path.read_bytes())
    bit %= len(content) * 8
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
