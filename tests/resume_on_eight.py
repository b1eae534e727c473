"""Trains two steps, saves, restores, trains one more: against three steps without a break."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from storage import OPTIMIZER, abstract, mesh, same, trees

from vsfa_jax.checkpoint import Checkpointer


def step(state: dict) -> dict:
    grads = jax.tree.map(jnp.sin, state["params"])
    updates, optimizer = OPTIMIZER.update(grads, state["optimizer"], state["params"])
    return {"params": optax.apply_updates(state["params"], updates), "optimizer": optimizer}


def begin() -> dict:
    params = trees(0)["params"]
    whole = NamedSharding(mesh(), jax.sharding.PartitionSpec())
    optimizer = OPTIMIZER.init(params)
    place = lambda leaf: leaf if leaf.ndim else jax.device_put(leaf, whole)  # noqa: E731
    return {"params": params, "optimizer": jax.tree.map(place, optimizer)}


if __name__ == "__main__":
    state = begin()
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    train = jax.jit(step, donate_argnums=0, out_shardings=shardings)
    wanted = abstract(state)
    unbroken = train(train(train(begin())))
    with Checkpointer(sys.argv[1], every=1) as checkpoints:
        state = train(train(state))
        checkpoints.save(2, state, {})
        found = checkpoints.restore(wanted)
        assert all(isinstance(x.sharding, NamedSharding) for x in jax.tree.leaves(found.trees))
        state = train(found.trees)
        assert same(state, unbroken)
        assert train._cache_size() == 1
        checkpoints.save(3, trees(3), {})
    print(jax.device_count(), "devices, restored as saved")
