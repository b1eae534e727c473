"""The loss of a linear head in chunks of trained rows: one chunk's logits exist at a time.

    weights           0 1 1 0 0 1 1 1 0 1
    a chunk of 4      1 2 5 6
    quarters of it    7, 9

How many chunks there are is known to the running program alone, so they are worked off by a while
loop. No such loop can be differentiated backwards: the gradients are computed with the loss.

The gradient by the head is as large as the head and a sum over all rows; in float32, to add chunks
to, it would be the largest array of all. So it is made in blocks of the vocabulary, each summed up
over all rows before the next, for which the logits are computed a second time.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.sharding import PartitionSpec as P

from vsfa_jax.kernels.cross_entropy.shards import FSDP, ROWS, TENSOR, Form
from vsfa_jax.kernels.cross_entropy.softmax import losses, slopes

Wanted = tuple[bool, bool]  # of d hidden and d head, whether it is asked for
Gradients = tuple[jax.Array | None, jax.Array | None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def summed_loss(
    hidden: jax.Array, head: jax.Array, targets: jax.Array, weights: jax.Array, form: Form
) -> jax.Array:
    """`api.linear_cross_entropy` of arguments that fit."""
    return _sharded(hidden, head, targets, weights, form, (False, False))[0]


def _forward(
    hidden: Any, head: Any, targets: Any, weights: Any, form: Form
) -> tuple[jax.Array, Gradients]:
    """The loss and, of what is differentiated, the gradients."""
    values = (hidden.value, head.value, targets.value, weights.value)
    return _sharded(*values, form, (hidden.perturbed, head.perturbed))


def _backward(
    form: Form, gradients: Gradients, slope: jax.Array | SymbolicZero
) -> tuple[jax.Array | None, jax.Array | None, None, None]:
    """The gradients times that of the loss."""
    if isinstance(slope, SymbolicZero):
        return None, None, None, None
    scale = slope.astype(jnp.float32)
    d_hidden, d_head = jax.tree.map(lambda g: (scale * g).astype(g.dtype), gradients)
    return d_hidden, d_head, None, None


summed_loss.defvjp(_forward, _backward, symbolic_zeros=True)


def _sharded(
    hidden: jax.Array,
    head: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    form: Form,
    wanted: Wanted,
) -> tuple[jax.Array, Gradients]:
    """The loss and its gradients, None where not wanted; each device works off its own rows."""
    run = functools.partial(_run, form=form, wanted=wanted)
    if form.mesh is None:
        return run(hidden, head, targets, weights)
    rows, matrix = P(ROWS), form.head_spec
    return jax.shard_map(
        run,
        mesh=form.mesh,
        in_specs=(rows, matrix, rows, rows),
        out_specs=(P(), (rows, matrix)),
    )(hidden, head, targets, weights)


def _run(
    hidden: jax.Array,
    head: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    *,
    form: Form,
    wanted: Wanted,
) -> tuple[jax.Array, Gradients]:
    """`_sharded` on one device: its rows, its part of the vocabulary."""
    rows = (hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1), weights.reshape(-1))
    trained, number = rows[2] != 0, len(rows[2])
    order = jnp.sort(jnp.where(trained, jnp.arange(number), number))
    work = Work(
        *rows,
        order=jnp.pad(order, (0, min(form.chunk, number)), constant_values=number),
        count=form.over(jax.lax.pmax, trained.sum(), ROWS),
        kernel=form.gathered(head).astype(hidden.dtype),
        form=form,
    )
    loss, d_hidden, log_z = _loss(work, *wanted)
    loss = form.over(jax.lax.psum, loss, ROWS)
    d_hidden = None if d_hidden is None else d_hidden.reshape(hidden.shape)
    return loss, (d_hidden, None if log_z is None else _d_head(work, log_z, head))


@dataclasses.dataclass(frozen=True)
class Work:
    """What one device has to do.

    Attributes:
      hidden: [N, D].
      targets: [N].
      weights: [N].
      order: [N + C] int32, the numbers of the trained rows, then N; C is the size of a chunk.
      count: [] int32, the most trained rows of any device, so that all do as many trips.
      kernel: [D, V'] or [V', D] in the dtype of `hidden`.
      form: how.
    """

    hidden: jax.Array
    targets: jax.Array
    weights: jax.Array
    order: jax.Array
    count: jax.Array
    kernel: jax.Array
    form: Form

    def take(self, start: jax.Array, size: int) -> tuple[jax.Array, ...]:
        """From `start` on in `order`: numbers, hidden, targets, weights; zeros at number N."""
        chosen = jax.lax.dynamic_slice_in_dim(self.order, start, size)
        return chosen, *(
            array.at[chosen].get(mode="fill", fill_value=0, indices_are_sorted=True)
            for array in (self.hidden, self.targets, self.weights)
        )

    def loop(self, add: Callable[[int, jax.Array, Any], Any], sums: Any) -> Any:
        """Calls add(size, start, sums) -> sums until `count` rows are worked off.

        By chunks while more than three quarters of one are left, then by quarters.
        """
        chunk = len(self.order) - len(self.weights)
        quarter, carry = max(1, chunk // 4), (jnp.int32(0), sums)
        for name, size, left in (("chunks", chunk, chunk - quarter), ("quarters", quarter, 0)):
            with jax.named_scope(name):
                carry = jax.lax.while_loop(
                    functools.partial(_exceeds, self.count, left),
                    functools.partial(_advance, add, size),
                    carry,
                )
        return carry[1]


def _exceeds(count: jax.Array, left: int, carry: tuple[jax.Array, Any]) -> jax.Array:
    return count - carry[0] > left


def _advance(
    add: Callable[[int, jax.Array, Any], Any], size: int, carry: tuple[jax.Array, Any]
) -> tuple[jax.Array, Any]:
    start, sums = carry
    return start + size, add(size, start, sums)


def _loss(
    work: Work, wants_hidden: bool, wants_log_z: bool
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """The loss, d hidden [N, D], and log Z [N + C] in the order of `order`."""
    form, dtype = work.form, work.hidden.dtype

    def add(size: int, start: jax.Array, sums: Any) -> Any:
        loss, d_hidden, all_log_z = sums
        chosen, x, targets, weights = work.take(start, size)
        logits = _product(x, work.kernel, 1, 1 - form.axis)
        found, log_z = losses(logits, targets, form)
        if d_hidden is not None:
            slope = weights[:, None] * slopes(logits, log_z, targets, form)
            d_x = _product(slope.astype(dtype), work.kernel, 1, form.axis)
            d_x = form.over(jax.lax.psum, d_x, TENSOR).astype(dtype)
            d_hidden = d_hidden.at[chosen].set(d_x, mode="drop", indices_are_sorted=True)
        if all_log_z is not None:
            all_log_z = jax.lax.dynamic_update_slice_in_dim(all_log_z, log_z, start, 0)
        return loss + (weights * found).sum(), d_hidden, all_log_z

    begin = (
        form.zeros((), jnp.float32, ROWS),
        form.zeros(work.hidden.shape, dtype, ROWS) if wants_hidden else None,
        form.zeros(work.order.shape, jnp.float32, ROWS) if wants_log_z else None,
    )
    loss, d_hidden, log_z = work.loop(add, begin)
    return loss, d_hidden, log_z


def _d_head(work: Work, log_z: jax.Array, head: jax.Array) -> jax.Array:
    """The gradient by this device's part of the head, in its shape and dtype.

    The last block begins early enough to be whole; what it shares with the one before is the same.
    """
    form, own = work.form, work.kernel.shape[work.form.axis]
    block = block_size(own, work.hidden.shape[1], form.chunk)

    def fill(number: jax.Array, d_head: jax.Array) -> jax.Array:
        first = jnp.minimum(number * block, own - block)
        part = jax.lax.dynamic_slice_in_dim(work.kernel, first, block, form.axis)

        def add(size: int, start: jax.Array, total: jax.Array) -> jax.Array:
            _, x, targets, weights = work.take(start, size)
            logits = _product(x, part, 1, 1 - form.axis)
            own_log_z = jax.lax.dynamic_slice_in_dim(log_z, start, size)
            slope = weights[:, None] * slopes(logits, own_log_z, targets, form, first)
            pair = (x, slope.astype(x.dtype))
            return total + _product(*(pair[::-1] if form.transposed else pair), 0, 0)

        total = work.loop(add, form.zeros(part.shape, jnp.float32, (*ROWS, TENSOR)))
        total = form.scattered(total).astype(head.dtype)
        return jax.lax.dynamic_update_slice_in_dim(d_head, total, first, form.axis)

    zeros = form.zeros(head.shape, head.dtype, (FSDP, TENSOR))
    return jax.lax.fori_loop(0, math.ceil(own / block), fill, zeros)


def block_size(vocabulary: int, width: int, chunk: int) -> int:
    """Tokens of which d head is made at a time: such that it takes what a chunk's logits take.

    That is [chunk, V] float32 against [D, block] in float32 and again in bfloat16, and
    [chunk, block] in both. A multiple of 128, which a TPU's registers are wide.
    """
    blocks = math.ceil(1.5 * width / chunk + 1.5)
    return min(vocabulary, 128 * math.ceil(vocabulary / blocks / 128))


def _product(a: jax.Array, b: jax.Array, axis: int, other: int) -> jax.Array:
    """The sum over `axis` of a and `other` of b, float32."""
    dimensions = (((axis,), (other,)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)
