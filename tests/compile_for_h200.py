"""Compiles attention and its gradients for an H200 without one, and prints what ptxas says.

    python tests/compile_for_h200.py HEAD_SIZE DTYPE FOLDER

Run by a test, and by hand. It needs the CUDA plugin of this JAX and CUDA's compilers, which no
other part needs (about 700 MB): `pip install --no-deps jax-cuda13-plugin==0.10.2
jax-cuda13-pjrt==0.10.2 nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt`. FOLDER gets the dumps.
Whether the description of an H200 below equals that of a real one is unchecked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

H200 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 4800000000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 150000000000
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
device_description_str: "NVIDIA H200"
"""


def main(head_size: int, dtype: str, folder: Path) -> None:
    """Compiles 32 query heads on 8 key heads, 1024 tokens, causal and packed."""
    os.environ |= {"MOSAIC_GPU_DUMP_PTXAS": "1", "MOSAIC_GPU_DUMP_TO": str(folder)}
    import jax
    import jax.numpy as jnp
    from jax.experimental import topologies

    from vsfa_jax.kernels.attention import pallas_gpu

    device = topologies.get_topology_desc(
        platform="cuda", target_config=H200, topology="1x1x1"
    ).devices[0]
    place = jax.sharding.SingleDeviceSharding(device)

    def array(heads: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, 1024, heads, head_size), dtype, sharding=place)

    def total(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array) -> jax.Array:
        out = pallas_gpu.attend(
            q,
            k,
            v,
            segment_ids=(ids, ids),
            block_map=None,
            causal=True,
            scale=head_size**-0.5,
            window=None,
        )
        return out.astype(jnp.float32).sum()

    ids = jax.ShapeDtypeStruct((1, 1024), "int32", sharding=place)
    jax.jit(jax.grad(total, (0, 1, 2))).lower(array(32), array(8), array(8), ids).compile()
    for path in sorted(folder.glob("*.ptxas")):
        lines = (line.strip() for line in path.read_text().splitlines())
        said = "; ".join(
            line for line in lines if "spill" in line or "C75" in line or "Used" in line
        )
        print(f"{path.stem}: {said}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
