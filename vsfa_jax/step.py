"""One optimizer step: sum of losses over sum of trained tokens, accumulated over micro-batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from vsfa_jax.data.batch import Batch
from vsfa_jax.kernels.attention import on_mesh
from vsfa_jax.kernels.cross_entropy import cross_entropy, linear_cross_entropy
from vsfa_jax.state import Structure, TrainState

Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What training adds to the cross entropy.

    Attributes:
      z_loss: weight of the square of the logits' normaliser.
      label_smoothing: share of the target that is spread over the vocabulary.
    """

    z_loss: float = 0.0
    label_smoothing: float = 0.0


PLAIN = LossConfig()


def loss_sum(
    model: Any, batch: Batch, config: LossConfig = PLAIN, mesh: Mesh | None = None
) -> tuple[jax.Array, jax.Array]:
    """(sum of the weighted cross entropy in nats, sum of weights), float32 scalars.

    Logits [B, T, V] are held only where the head is more than a matrix.

    Args:
      model: with `hidden`, `logits` and `language.head_matrix`.
      batch: [B, ...].
      config: what is added to the cross entropy.
      mesh: that model and batch are sharded over, with B a multiple of data x fsdp.
    """
    with on_mesh(mesh):
        hidden, head = model.hidden(batch), model.language.head_matrix()
    terms = dataclasses.asdict(config)
    with jax.named_scope("loss"):
        if head is None:
            loss = cross_entropy(model.logits(hidden), batch.targets, batch.loss_weights, **terms)
        else:
            matrix, transposed = head
            loss = linear_cross_entropy(
                hidden,
                matrix,
                batch.targets,
                batch.loss_weights,
                transposed=transposed,
                mesh=mesh,
                **terms,
            )
    return loss, batch.loss_weights.sum()


def gradients(
    structure: Structure,
    params: nnx.State,
    frozen: nnx.State,
    batches: Batch,
    config: LossConfig = PLAIN,
) -> tuple[jax.Array, jax.Array, nnx.State]:
    """Loss sum, token count and gradient of the loss *sum*, over batches [M, B, ...]."""

    def loss(params: nnx.State, batch: Batch) -> tuple[jax.Array, jax.Array]:
        return loss_sum(structure.model(params, frozen), batch, config, structure.mesh)

    def accumulate(carry: tuple[Any, ...], batch: Batch) -> tuple[tuple[Any, ...], None]:
        total, tokens, sums = carry
        (value, count), grads = jax.value_and_grad(loss, has_aux=True)(params, batch)
        sums = jax.tree.map(lambda a, b: a + b.astype(jnp.float32), sums, grads)
        return (total + value, tokens + count, sums), None

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
    carry = (jnp.float32(0), jnp.float32(0), zeros)
    return jax.lax.scan(accumulate, carry, batches)[0]


def jit_train_step(
    structure: Structure,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    config: LossConfig = PLAIN,
) -> Callable[[TrainState, nnx.State, Batch], tuple[TrainState, Metrics]]:
    """The jitted step; it takes the state's buffers and gives the new one the same shardings.

    Left to itself the compiler may place the new state otherwise, and the second step would
    compile again.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    train_step = make_train_step(structure, optimizer, config)

    def run(state: TrainState, frozen: nnx.State, batches: Batch) -> tuple[TrainState, Metrics]:
        return train_step(_on_device(state, shardings), frozen, batches)

    return jax.jit(run, donate_argnums=0, out_shardings=(shardings, None))


def _on_device(state: TrainState, shardings: TrainState) -> TrainState:
    """The state with moments that lie in the host's memory brought to the device."""

    def bring(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
        if sharding.memory_kind in (None, "device"):
            return leaf
        return jax.device_put(leaf, sharding.with_memory_kind("device"))

    return jax.tree.map(bring, state, shardings)


def make_train_step(
    structure: Structure, optimizer: optax.GradientTransformation, config: LossConfig = PLAIN
) -> Callable[[TrainState, nnx.State, Batch], tuple[TrainState, Metrics]]:
    """The step before jit: (state, frozen, batches [M, B, ...]) -> (state, metrics).

    A step whose loss, gradient or update is not finite leaves the state as it was and says
    `finite` = 0; the loop decides what to do.
    """

    def train_step(
        state: TrainState, frozen: nnx.State, batches: Batch
    ) -> tuple[TrainState, Metrics]:
        total, tokens, sums = gradients(structure, state.params, frozen, batches, config)
        grads = jax.tree.map(lambda leaf: leaf / jnp.maximum(tokens, 1), sums)
        with jax.named_scope("optimizer"):
            norm = optax.tree.norm(grads)
            updates, moments = optimizer.update(grads, state.optimizer, state.params)
            finite = (
                jnp.isfinite(total) & jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(updates))
            )
            new = TrainState(state.step + 1, optax.apply_updates(state.params, updates), moments)
            new = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
        metrics = {
            "loss": total / jnp.maximum(tokens, 1),
            "trained_tokens": tokens,
            "grad_norm": norm,
            "finite": finite,
        }
        return new, metrics

    return train_step


def make_eval_step(
    structure: Structure,
) -> Callable[[nnx.State, nnx.State, Batch], tuple[jax.Array, jax.Array]]:
    """The held-out loss: (params, frozen, batches [M, B, ...]) -> (loss sum, trained tokens).

    It is the plain cross entropy, whatever is trained on.
    """

    def eval_step(
        params: nnx.State, frozen: nnx.State, batches: Batch
    ) -> tuple[jax.Array, jax.Array]:
        model = structure.model(params, frozen)
        losses, tokens = jax.lax.map(
            lambda batch: loss_sum(model, batch, mesh=structure.mesh), batches
        )
        return losses.sum(), tokens.sum()

    return eval_step
