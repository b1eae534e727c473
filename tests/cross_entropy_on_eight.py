"""Run by test_cross_entropy on 2 x 2 x 2 fake devices; prints values and the programs as JSON."""

from __future__ import annotations

import json
import sys

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vsfa_jax.kernels.cross_entropy import cross_entropy, linear_cross_entropy

TERMS = {"z_loss": 1e-2, "label_smoothing": 0.1}
CHUNK_ON_EIGHT = 12


def problem(n, d, v, share=0.6, seed=0, scale=1.0, whole=False):
    """hidden [N, D], head [D, V], targets [N], weights [N] of which `share` is not 0."""
    rng = np.random.default_rng(seed)
    hidden = scale * rng.normal(size=(n, d))
    weights = (rng.random(n) < share) * (1.0 if whole else rng.uniform(0.2, 2.0, n))
    return (
        hidden.astype(np.float32),
        rng.normal(size=(d, v)).astype(np.float32),
        rng.integers(0, v, n).astype(np.int32),
        weights.astype(np.float32),
    )


def problem_on_eight():
    """One whose rows are shared unevenly: some devices have nothing to do."""
    hidden, head, targets, weights = problem(8 * 19, 24, 262, seed=5)
    weights = weights.reshape(8, 19) * (np.arange(8) != 3)[:, None]
    weights[6:] = 0
    weights[0] = 1
    return hidden.reshape(8, 19, 24), head, targets.reshape(8, 19), weights


def naive(hidden, head, targets, weights, transposed):
    """What the compiler makes of the plain loss."""
    logits = hidden @ (head.T if transposed else head)
    return cross_entropy(logits, targets, weights, **TERMS)


def report(loss, arguments, wanted):
    """Loss, gradients and the text of the program."""
    program = jax.jit(jax.value_and_grad(loss, wanted)).lower(*arguments).compile()
    value, gradients = program(*arguments)
    return {
        "loss": float(value),
        "gradients": [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(gradients)],
        "d_head_axes": list(gradients[-1].sharding.spec),
        "text": program.as_text(),
    }


def main():
    assert jax.device_count() == 8
    mesh = Mesh(np.asarray(jax.devices()).reshape(2, 2, 2), ("data", "fsdp", "tensor"))
    found = {}
    for transposed in (False, True):
        head_axes = ("tensor", "fsdp") if transposed else ("fsdp", "tensor")
        hidden, head, targets, weights = problem_on_eight()
        head = head.T if transposed else head
        rows, matrix = (NamedSharding(mesh, P(*axes)) for axes in ((("data", "fsdp"),), head_axes))
        targets, weights = (jax.device_put(leaf, rows) for leaf in (targets, weights))
        arguments = (jax.device_put(hidden, rows), jax.device_put(head, matrix))

        def chunked(hidden, head, targets=targets, weights=weights, transposed=transposed):
            options = {"transposed": transposed, "chunk": CHUNK_ON_EIGHT, "mesh": mesh, **TERMS}
            return linear_cross_entropy(hidden, head, targets, weights, **options)

        def plain(hidden, head, targets=targets, weights=weights, transposed=transposed):
            return naive(hidden, head, targets, weights, transposed)

        name = "transposed" if transposed else "plain"
        found[f"{name}-frozen"] = report(chunked, arguments, (0,))
        found[f"{name}-trained"] = report(chunked, arguments, (0, 1))
    found["transposed-naive"] = report(plain, arguments, (0, 1))
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
