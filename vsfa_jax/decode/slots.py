"""The rows of a running decoder, and the programs that fill them and let them speak.

A row holds one prompt from its insertion until its answer ends; then another takes its place:

    row 0   p p p a a a a . q q a a a        p, q, r: prompts; a: tokens of answers
    row 1   r r r r a a a a a a a a a        `.` until enough rows are free
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vsfa_jax.data.batch import Batch, Vision
from vsfa_jax.decode.sampling import Sampling, choose
from vsfa_jax.kernels.attention import on_mesh

ROWS, HEADS = ("data", "fsdp"), "tensor"  # mesh axes that share rows, and heads of keys
PROGRAMS = ("look", "prompt", "empty", "insert", "lengthen", "advance")
KeysValues = tuple[jax.Array, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slots:
    """B rows.

    Attributes:
      logits: [B, V] float32, of each row's next token.
      cache: the model's own: keys and values [L, B, K, S, H], and lengths [B] int32.
      positions: [B] int32, of the first token of its answer.
      steps: [B] int32, tokens of its answer so far.
      limits: [B] int32, the most of them.
      tokens: [B, M] int32, its answer.
      seeds: [B] uint32.
      done: [B] bool, whether its answer has ended, or it never had a prompt.
    """

    logits: jax.Array
    cache: Any
    positions: jax.Array
    steps: jax.Array
    limits: jax.Array
    tokens: jax.Array
    seeds: jax.Array
    done: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prompted:
    """A group of G prompts that were run.

    Attributes:
      logits: [G, V] float32, after the last token.
      cache: as of `Slots`, [L, G, K, T, H] and [G].
      positions: [G] int32, of the token after each prompt.
    """

    logits: jax.Array
    cache: Any
    positions: jax.Array


@functools.partial(jax.jit, static_argnames="mesh")
def look(model: Any, vision: Vision, *, mesh: Mesh) -> jax.Array:
    """[S, B, P, D], what the tower says."""
    with on_mesh(mesh):
        found: jax.Array = model.features(vision)
    return found


@functools.partial(jax.jit, static_argnames="mesh")
def prompt(model: Any, batch: Batch, prefix: KeysValues | None, *, mesh: Mesh) -> Prompted:
    """Runs prompts, one a row; `prefix` is what they begin with and `batch` leaves out."""
    # The place after the largest one: an image's columns may lie further than its last token.
    places = jnp.where(batch.segment_ids[..., None] > 0, batch.positions, -1)
    with on_mesh(mesh):
        logits, cache = model.prompt(batch, prefix)
    return Prompted(logits, cache, places.max((1, 2)) + 1)


@functools.partial(jax.jit, static_argnames=("rows", "num_keys", "num_tokens", "mesh"))
def empty(like: Prompted, *, rows: int, num_keys: int, num_tokens: int, mesh: Mesh) -> Slots:
    """Rows without a prompt, for groups such as `like`.

    Args:
      like: any group.
      rows: B.
      num_keys: S.
      num_tokens: M.
      mesh: that they lie on.
    """
    layers, _, heads, _, size = like.cache.keys.shape
    numbers = jnp.zeros(rows, jnp.int32)
    cached = jnp.zeros((layers, rows, heads, num_keys, size), like.cache.keys.dtype)
    made = Slots(
        logits=jnp.zeros((rows, like.logits.shape[1]), jnp.float32),
        cache=dataclasses.replace(like.cache, keys=cached, values=cached, lengths=numbers),
        positions=numbers,
        steps=numbers,
        limits=numbers,
        tokens=jnp.zeros((rows, num_tokens), jnp.int32),
        seeds=jnp.zeros(rows, jnp.uint32),
        done=jnp.ones(rows, bool),
    )
    return _placed(made, mesh)


@functools.partial(jax.jit, static_argnames=("num_keys", "mesh"))
def lengthen(slots: Slots, *, num_keys: int, mesh: Mesh) -> Slots:
    """The same rows with room for more keys."""
    old = slots.cache
    room = ((0, 0), (0, 0), (0, 0), (0, num_keys - old.keys.shape[3]), (0, 0))
    keys, values = (jnp.pad(cached, room) for cached in (old.keys, old.values))
    cache = dataclasses.replace(old, keys=keys, values=values)
    return _placed(dataclasses.replace(slots, cache=cache), mesh)


@functools.partial(jax.jit, static_argnames="mesh", donate_argnames="slots")
def insert(
    slots: Slots,
    group: Prompted,
    places: jax.Array,
    seeds: jax.Array,
    limits: jax.Array,
    *,
    mesh: Mesh,
) -> Slots:
    """Puts prompts into rows.

    Args:
      slots: the rows.
      group: the prompts.
      places: [G] int32, the row of each; B for one that goes nowhere.
      seeds: [G] uint32.
      limits: [G] int32.
      mesh: that they lie on.
    """

    def put(into: jax.Array, new: jax.Array) -> jax.Array:
        return into.at[places].set(new, mode="drop")

    def put_keys(into: jax.Array, new: jax.Array) -> jax.Array:
        return into.at[:, places, :, : new.shape[3]].set(new, mode="drop")

    zeros = jnp.zeros_like(limits)
    cache = dataclasses.replace(
        slots.cache,
        keys=put_keys(slots.cache.keys, group.cache.keys),
        values=put_keys(slots.cache.values, group.cache.values),
        lengths=put(slots.cache.lengths, group.cache.lengths),
    )
    return _placed(
        Slots(
            logits=put(slots.logits, group.logits),
            cache=cache,
            positions=put(slots.positions, group.positions),
            steps=put(slots.steps, zeros),
            limits=put(slots.limits, limits),
            tokens=slots.tokens,
            seeds=put(slots.seeds, seeds),
            done=put(slots.done, zeros.astype(bool)),
        ),
        mesh,
    )


@functools.partial(
    jax.jit, static_argnames=("sampling", "stop_tokens", "mesh"), donate_argnames="slots"
)
def advance(
    model: Any,
    slots: Slots,
    wanted: jax.Array,
    *,
    sampling: Sampling,
    stop_tokens: tuple[int, ...],
    mesh: Mesh,
) -> Slots:
    """Lets all rows speak until as many more as `wanted` have ended.

    Args:
      model: has `step(tokens, positions, cache)`.
      slots: at least `wanted` of its rows have not ended.
      wanted: int32, at least 1.
      sampling: how tokens are chosen.
      stop_tokens: each ends an answer, and is its last token.
      mesh: that model and rows lie on.
    """
    keys = jax.vmap(jax.random.key)(slots.seeds)
    rows = jnp.arange(len(slots.done))
    enough = slots.done.sum() + wanted

    def say(now: Slots) -> Slots:
        chosen = choose(now.logits, keys, now.steps, sampling)
        steps = now.steps + ~now.done
        ended = jnp.isin(chosen, jnp.array(stop_tokens, jnp.int32)) | (steps >= now.limits)
        logits, cache = model.step(chosen, now.positions + now.steps, now.cache)
        # A row that has ended writes over what it wrote, and so never past its last key.
        lengths = jnp.where(now.done, now.cache.lengths, cache.lengths)
        return Slots(
            logits=logits,
            cache=dataclasses.replace(cache, lengths=lengths),
            positions=now.positions,
            steps=steps,
            limits=now.limits,
            tokens=now.tokens.at[rows, now.steps].set(chosen, mode="drop"),
            seeds=now.seeds,
            done=now.done | ended,
        )

    with on_mesh(mesh), jax.named_scope("decode"):
        return _placed(jax.lax.while_loop(lambda now: now.done.sum() < enough, say, slots), mesh)


def settled(slots: Slots, mesh: Mesh) -> Slots:
    """The same rows under the one name of their places that every program is compiled for.

    On one device a result may carry the place of any argument, which would compile the next anew.
    """
    return jax.device_put(slots, _places(slots, mesh))


def _placed(slots: Slots, mesh: Mesh) -> Slots:
    """Traced rows where `_places` says."""
    return jax.lax.with_sharding_constraint(slots, _places(slots, mesh))


def _places(slots: Slots, mesh: Mesh) -> Any:
    """Rows shared as the mesh shares a batch's, and heads as it shares a model's."""
    heads = HEADS if slots.cache.keys.shape[2] % mesh.shape[HEADS] == 0 else None

    def place(leaf: jax.Array) -> NamedSharding:
        spec = PartitionSpec(None, ROWS, heads) if leaf.ndim == 5 else PartitionSpec(ROWS)
        return NamedSharding(mesh, spec)

    return jax.tree.map(place, slots)
