"""Compiles attention, forward and backward, for a TPU that is not there.

    python tests/compile_for_tpu.py CHIP [CASE ...]

Prints the names of the kernels in each compiled program. A process of its own, for the compiler
ends the process where it fails.
"""

from __future__ import annotations

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vsfa_jax.kernels.attention import attention

TOPOLOGIES = {"v5e": "v5e:2x2", "v6e": "v6e:2x2", "v5p": "v5p:2x2x1", "tpu7x": "tpu7x:2x2x1"}
# T, S, N, K, H, causal, packed, window and dtype of each
CASES = {
    "text, packed": (1024, 1024, 8, 2, 128, True, True, None, "bfloat16"),
    "text": (1024, 1024, 8, 8, 128, True, False, None, "bfloat16"),
    "tower, packed": (1000, 1000, 4, 4, 72, False, True, None, "bfloat16"),
    "tower": (1154, 1154, 4, 4, 64, False, False, None, "bfloat16"),
    "window, float32": (512, 512, 4, 2, 128, True, True, 100, "float32"),
    "fewer queries": (128, 512, 4, 2, 80, True, False, None, "bfloat16"),
}


def programs(chip: str, cases: list[str]) -> dict[str, list[str]]:
    """Kernels by case, sharded by rows and by heads over four chips."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[chip]).devices
    mesh = Mesh(np.asarray(devices[:4]).reshape(2, 1, 2), ("data", "fsdp", "tensor"))
    rows = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    found = {}
    for name in cases:
        t, s, n, kv, h, causal, packed, window, dtype = CASES[name]

        def loss(q, k, v, ids, causal=causal, packed=packed, window=window):
            out = attention(
                q, k, v, segment_ids=ids if packed else None, causal=causal, window=window
            )
            return out.astype(jnp.float32).sum()

        shapes = ((2, t, n, h), (2, s, kv, h), (2, s, kv, h))
        arrays = [jax.ShapeDtypeStruct(x, dtype, sharding=rows) for x in shapes]
        ids = jax.ShapeDtypeStruct((2, t), jnp.int32, sharding=rows)
        with jax.set_mesh(mesh):
            step = jax.jit(jax.grad(loss, (0, 1, 2)))
            text = step.lower(*arrays, ids).compile().as_text()
        kernels = [line for line in text.splitlines() if 'custom_call_target="tpu_custom' in line]
        found[name] = sorted(line.split(" = ")[0].strip(" %") for line in kernels)
        found[name] += ["all-gather"] * text.count(" all-gather")
    return found


if __name__ == "__main__":
    print(json.dumps(programs(sys.argv[1], sys.argv[2:] or list(CASES))))
