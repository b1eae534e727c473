"""Small programs compiled for a TPU that is not there, for tests of what is read from them.

    python tests/programs_for_tpu.py [PROGRAM ...]

Prints one line of JSON: by program, its text, its memory, and how it failed, if it did. A process
of its own, for the compiler ends the process where it fails.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vsfa_jax.planning.program import FIELDS

TOPOLOGY = "v5e:2x2"
AXES = {"rows": 2, "columns": 2}
LAYERS, ROUNDS, ROWS, WIDTH = 5, 3, 512, 1024


def layers(x: jax.Array, weights: jax.Array) -> jax.Array:
    """x [T, D] through `tanh(x w)` of weights [L, D, D]."""
    return jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, weights)[0]


def nested(x: jax.Array, weights: jax.Array) -> jax.Array:
    """The layers several times over."""
    return jax.lax.scan(lambda h, _: (layers(h, weights), None), x, None, ROUNDS)[0]


def rematerialised(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Loss of layers whose inside is computed again in the backward pass."""
    body = jax.checkpoint(lambda h, w: jnp.tanh(h @ w), prevent_cse=False)
    with jax.named_scope("language"):
        out = jax.lax.scan(lambda h, w: (body(h, w), None), x, weights)[0]
    with jax.named_scope("loss"):
        return (out.astype(jnp.float32) ** 2).sum()


def wide(x: jax.Array, weights: jax.Array) -> jax.Array:
    """The same of 128 times as many rows, which VMEM does not hold."""
    return rematerialised(jnp.concatenate([jnp.sin(x * n) for n in range(128)]), weights)


def until(x: jax.Array, weights: jax.Array) -> jax.Array:
    """A loop that ends by the data."""
    return jax.lax.while_loop(lambda h: h[0, 0] > 0, lambda h: jnp.tanh(h @ weights[0]), x)


def either(x: jax.Array, weights: jax.Array) -> jax.Array:
    """In two layers of five one matmul, in the others two."""

    def body(h: jax.Array, scanned: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        w, once = scanned
        return jax.lax.cond(once, lambda: jnp.tanh(h @ w), lambda: jnp.tanh(h @ w) @ w), None

    return jax.lax.scan(body, x, (weights, jnp.arange(LAYERS) < 2))[0]


def heads(x: jax.Array, weights: jax.Array) -> jax.Array:
    """A matrix product with a batch axis: [N, T, H] by [N, H, T]."""
    q = x.reshape(ROWS, 8, -1).transpose(1, 0, 2)
    return jnp.einsum("nth,nsh->nts", q, jnp.sin(q)) * weights[0, 0, 0]


def talk(x: jax.Array, weights: jax.Array) -> tuple[jax.Array, ...]:
    """One collective of each kind, along an axis or along both."""
    del weights
    columns, both = "columns", ("rows", "columns")

    def local(x: jax.Array) -> tuple[jax.Array, ...]:
        def apart(number: int) -> jax.Array:
            return jax.lax.optimization_barrier(x + number)

        return (
            jax.lax.psum(apart(0), "rows"),
            jax.lax.psum(apart(1), both),
            jax.lax.all_gather(apart(2), columns, axis=0, tiled=True),
            jax.lax.psum_scatter(apart(3), columns, scatter_dimension=0, tiled=True),
            jax.lax.all_to_all(apart(4), "rows", 0, 0, tiled=True),
            jax.lax.ppermute(apart(5), "rows", [(0, 1), (1, 0)]),
        )

    return jax.shard_map(local, in_specs=P(), out_specs=P(), check_vma=False)(x)


def too_large(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Wants an array of 24 GiB on each chip, and changes all of it before it is used."""
    wide = jnp.broadcast_to(x.astype(jnp.float32), (12288, *x.shape))
    kept = jax.lax.sort(wide * weights[0, 0].astype(jnp.float32), dimension=0)
    return kept[::2].sum() + kept.max()


Program = tuple[Callable[..., object], P, P]
PROGRAMS: dict[str, Program] = {  # what, and where x and weights lie
    "layers": (layers, P(("rows", "columns")), P()),
    "nested": (nested, P(("rows", "columns")), P()),
    "gradient": (jax.grad(rematerialised, 1), P("rows"), P(None, "columns")),
    "wide_gradient": (jax.grad(wide, 1), P("rows"), P(None, "columns")),
    "until": (until, P("rows"), P()),
    "either": (either, P("rows"), P()),
    "heads": (heads, P("rows"), P()),
    "talk": (talk, P(), P()),
    "too_large": (too_large, P(), P()),
    "talk_across": (talk, P(), P()),
}
SLICES = {"talk_across": 2}  # rows lie apart; the others have one slice


def bytes_of(program: jax.stages.Compiled) -> dict[str, int]:
    """What the compiler says of a program's memory, and the most that lives at once."""
    found = program.memory_analysis()
    sizes = {name: getattr(found, f"{name}_size_in_bytes") for name in FIELDS}
    return {**sizes, "peak": found.peak_memory_in_bytes}


def compiled(name: str) -> dict[str, object]:
    """The text and the memory of one program."""
    slices = SLICES.get(name, 1)
    topology = topologies.get_topology_desc(
        platform="tpu", topology_name=TOPOLOGY, num_slices=slices
    )
    mesh = Mesh(np.asarray(topology.devices).reshape(AXES["rows"], -1), tuple(AXES))
    function, *specs = PROGRAMS[name]
    shapes = ((ROWS, WIDTH), (LAYERS, WIDTH, WIDTH))
    arguments = [
        jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=NamedSharding(mesh, spec))
        for shape, spec in zip(shapes, specs, strict=True)
    ]
    with jax.set_mesh(mesh):
        lowered = jax.jit(function).lower(*arguments)
        try:
            program = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            return {"text": "", "memory": {}, "failure": str(error)}
    return {
        "text": program.as_text(),
        "memory": bytes_of(program),
        "failure": "",
    }


if __name__ == "__main__":
    print(json.dumps({name: compiled(name) for name in sys.argv[1:] or PROGRAMS}))
