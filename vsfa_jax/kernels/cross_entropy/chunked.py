"""The loss of a linear head in chunks of trained rows: one chunk's logits exist at a time.

    weights           0 1 1 0 0 1 1 1 0 1
    chunks of 4       1 2 5 6
    then of 1         7, 9

How many chunks there are is known to the running program alone, so they are worked off by a while
loop. No such loop can be differentiated backwards, so its body computes the gradients as well.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

ROWS, TENSOR = ("data", "fsdp"), "tensor"


@dataclasses.dataclass(frozen=True)
class Form:
    """What of the computation is static; as in `api.linear_cross_entropy`."""

    transposed: bool
    z_loss: float
    label_smoothing: float
    chunk: int
    mesh: Mesh | None


# start, loss, d hidden [N, D], d kernel [D, V'] float32; a gradient that is not wanted is None
Carry = tuple[jax.Array, jax.Array, jax.Array | None, jax.Array | None]
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
    rows, matrix = P(ROWS), P(TENSOR, "fsdp") if form.transposed else P("fsdp", TENSOR)
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
    chunk = min(form.chunk, number)
    order = jnp.sort(jnp.where(trained, jnp.arange(number), number))
    order = jnp.pad(order, (0, chunk), constant_values=number)
    kernel = _gathered(head, form).astype(hidden.dtype)
    begin = (
        jnp.int32(0),
        _zeros((), jnp.float32, ROWS, form),
        _zeros(rows[0].shape, hidden.dtype, ROWS, form) if wanted[0] else None,
        _zeros(kernel.shape, jnp.float32, (*ROWS, TENSOR), form) if wanted[1] else None,
    )
    count = _over(jax.lax.pmax, trained.sum(), ROWS, form)  # all devices do as many trips
    work_off = functools.partial(_work_off, rows, order, kernel, form)
    _, loss, d_hidden, d_kernel = _loop(work_off, begin, count, chunk)
    return _over(jax.lax.psum, loss, ROWS, form), (
        None if d_hidden is None else d_hidden.reshape(hidden.shape),
        None if d_kernel is None else _scattered(d_kernel, form).astype(head.dtype),
    )


def _loop(
    work_off: Callable[[int, Carry], Carry], carry: Carry, count: jax.Array, chunk: int
) -> Carry:
    """Works off `count` rows: chunks while three quarters of one are exceeded, then quarters."""
    quarter = max(1, chunk // 4)
    for size, left in ((chunk, chunk - quarter), (quarter, 0)):
        more = functools.partial(_exceeds, count, left)
        carry = jax.lax.while_loop(more, functools.partial(work_off, size), carry)
    return carry


def _exceeds(count: jax.Array, left: int, carry: Carry) -> jax.Array:
    """Whether more than `left` rows are still to do."""
    return count - carry[0] > left


def _work_off(
    rows: tuple[jax.Array, jax.Array, jax.Array],
    order: jax.Array,
    kernel: jax.Array,
    form: Form,
    size: int,
    carry: Carry,
) -> Carry:
    """The next `size` rows of `order`; where it has none (N), zeros of weight 0.

    Args:
      rows: hidden [N, D], targets [N], weights [N].
      order: [N + chunk] int32, the numbers of the trained rows, then N.
      kernel: [D, V'] or [V', D].
      form: what is computed.
      size: C.
      carry: see `Carry`.
    """
    start, loss, d_hidden, d_kernel = carry
    chosen = jax.lax.dynamic_slice_in_dim(order, start, size)
    x, targets, weights = (
        array.at[chosen].get(mode="fill", fill_value=0, indices_are_sorted=True) for array in rows
    )
    logits = _product(x, kernel, 1, 1 if form.transposed else 0)
    losses, log_z = _losses(logits, targets, form)
    loss = loss + (weights * losses).sum()
    slopes = weights[:, None] * _slopes(logits, log_z, targets, form)
    slopes = slopes.astype(x.dtype)
    if d_hidden is not None:
        d_x = _product(slopes, kernel, 1, 0 if form.transposed else 1)
        d_x = _over(jax.lax.psum, d_x, TENSOR, form).astype(x.dtype)
        d_hidden = d_hidden.at[chosen].set(d_x, mode="drop", indices_are_sorted=True)
    if d_kernel is not None:
        d_kernel = d_kernel + _product(*((slopes, x) if form.transposed else (x, slopes)), 0, 0)
    return start + size, loss, d_hidden, d_kernel


def _losses(logits: jax.Array, targets: jax.Array, form: Form) -> tuple[jax.Array, jax.Array]:
    """logits [C, V'] -> each row's loss and log Z, both [C]; V' is this device's part of V."""
    top = _over(jax.lax.pmax, logits.max(-1), TENSOR, form)
    total = jnp.exp(logits - top[:, None]).sum(-1)
    chosen = jnp.where(_hot(logits, targets, form), logits, 0).sum(-1)
    log_z = top + jnp.log(_over(jax.lax.psum, total, TENSOR, form))
    losses = log_z - (1 - form.label_smoothing) * _over(jax.lax.psum, chosen, TENSOR, form)
    if form.label_smoothing:
        mean = _over(jax.lax.psum, logits.sum(-1), TENSOR, form) / _vocabulary(logits, form)
        losses = losses - form.label_smoothing * mean
    return losses + form.z_loss * log_z**2, log_z


def _slopes(logits: jax.Array, log_z: jax.Array, targets: jax.Array, form: Form) -> jax.Array:
    """[C, V'], the derivative of each row's loss by its logits."""
    share = jnp.exp(logits - log_z[:, None])
    if form.z_loss:
        share = share * (1 + 2 * form.z_loss * log_z[:, None])
    wanted = (1 - form.label_smoothing) * _hot(logits, targets, form)
    if form.label_smoothing:
        wanted = wanted + form.label_smoothing / _vocabulary(logits, form)
    return share - wanted


def _hot(logits: jax.Array, targets: jax.Array, form: Form) -> jax.Array:
    """[C, V'] bool, True at each row's target, if this device has it."""
    own = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)
    if form.mesh is not None:
        own = own + jax.lax.axis_index(TENSOR) * logits.shape[1]
    return own == targets[:, None]


def _vocabulary(logits: jax.Array, form: Form) -> int:
    """V."""
    return logits.shape[1] * (1 if form.mesh is None else form.mesh.shape[TENSOR])


def _product(a: jax.Array, b: jax.Array, axis: int, other: int) -> jax.Array:
    """The sum over `axis` of a and `other` of b, float32."""
    dimensions = (((axis,), (other,)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


def _over(
    reduce: Callable[..., jax.Array], x: jax.Array, axes: str | Sequence[str], form: Form
) -> jax.Array:
    """x reduced over axes of the mesh, if there is one."""
    return x if form.mesh is None else reduce(x, axes)


def _zeros(shape: tuple[int, ...], dtype: Any, axes: Sequence[str], form: Form) -> jax.Array:
    """Zeros to sum up in, apart on every device along `axes`."""
    zeros = jnp.zeros(shape, dtype)
    return zeros if form.mesh is None else jax.lax.pcast(zeros, tuple(axes), to="varying")


def _gathered(head: jax.Array, form: Form) -> jax.Array:
    """The whole of D, of this device's part of the vocabulary."""
    if form.mesh is None:
        return head
    return jax.lax.all_gather(head, "fsdp", axis=int(form.transposed), tiled=True)


def _scattered(d_kernel: jax.Array, form: Form) -> jax.Array:
    """The sum over all rows, this device's part of D."""
    if form.mesh is None:
        return d_kernel
    axis = int(form.transposed)
    d_kernel = jax.lax.psum_scatter(d_kernel, "fsdp", scatter_dimension=axis, tiled=True)
    return jax.lax.psum(d_kernel, "data")
