"""Run in a process of its own: attention on a mesh of eight devices equals the definition."""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from test_attention import Case, check

from vsfa_jax.kernels.attention import attention, map_blocks

jax.config.update("jax_disable_most_optimizations", True)
MESH = Mesh(np.asarray(jax.devices()).reshape(2, 2, 2), ("data", "fsdp", "tensor"))


def run(case: Case, backend: str) -> None:
    """Compares, and sees that nothing was gathered."""
    rows = NamedSharding(MESH, PartitionSpec(("data", "fsdp")))
    if case.rows % 4:
        rows = NamedSharding(MESH, PartitionSpec())
    arrays = [jax.device_put(jnp.asarray(x, jnp.float32), rows) for x in case.arrays()]
    ids = jax.device_put(case.segment_ids()[0], rows)

    @jax.jit
    def both(q, k, v, grad, ids):
        attend = functools.partial(
            attention,
            segment_ids=ids,
            block_map=map_blocks(ids, case.head_size, causal=case.causal),
            causal=case.causal,
            backend=backend,
            interpret=True,
        )
        out, back = jax.vjp(attend, q, k, v)
        return out, *back(grad)

    with jax.set_mesh(MESH):
        compiled = both.lower(*arrays, ids).compile()
        found = compiled(*arrays, ids)
    check(case, tuple(map(np.asarray, found)))
    if case.rows % 4 == 0:
        assert found[0].sharding.spec[0] == ("data", "fsdp")
        assert "all-gather" not in compiled.as_text()


if __name__ == "__main__":
    packed = Case(4, 200, 200, 4, 2, 128, True, (90, 70))
    run(packed, "pallas_tpu")
    sys.stdout.write("pallas_tpu ok ")
    # one key head for the two devices that share the query heads: each takes it
    run(Case(4, 200, 200, 2, 1, 128, True, (90, 70)), "pallas_tpu")
    sys.stdout.write("shared ok ")
    # three rows and three heads: neither axis divides them
    run(Case(3, 200, 200, 3, 1, 128, True, (90, 70)), "pallas_tpu")
    sys.stdout.write("whole ok\n")
