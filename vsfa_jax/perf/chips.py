"""What kernels are measured by of each TPU: clock, matrix units and VMEM."""

from __future__ import annotations

import dataclasses

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.planning import chips


@dataclasses.dataclass(frozen=True)
class Chip:
    """One kind of TPU.

    Attributes:
      name: as in `--topology=NAME:...`.
      topology: the smallest topology that the compiler knows.
      cores: TensorCores of a device, which share a kernel's grid.
      clock_hz: of the matrix units; inferred from peak FLOP/s and their geometry, not read.
      systolic: rows and columns of a matrix unit.
      flops_per_cycle: of one TensorCore in bfloat16.
      vmem_limit_kib: scoped VMEM that every kernel may use, a compiler flag's value.
    """

    name: str
    topology: str
    cores: int
    clock_hz: float
    systolic: int
    flops_per_cycle: int
    vmem_limit_kib: int

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth of HBM."""
        return chips.CHIPS[self.name].hbm_bytes_per_s


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5e", "v5e:2x2", 1, 1.5e9, 128, 131_072, 98_304),
        Chip("v6e", "v6e:2x2", 1, 1.75e9, 256, 524_288, 98_304),
        Chip("v5p", "v5p:2x2x1", 2, 1.75e9, 128, 131_072, 49_152),
    )
}


def chip_of(topology: str) -> Chip:
    """The chip of a topology such as "v5e:2x2".

    Raises:
      ConfigError: it is not one of `CHIPS`.
    """
    name, _, _ = topology.partition(":")
    if name not in CHIPS:
        known = sorted(chip.topology for chip in CHIPS.values())
        raise ConfigError(f"--topology: found {topology!r}, wanted one like {known}")
    return CHIPS[name]


def matmul_cycles(chip: Chip, rows: int, inner: int, columns: int) -> float:
    """Least cycles of [rows, inner] @ [inner, columns] in bfloat16 on one TensorCore.

    The side that stays in the matrix unit is padded to its size: `inner` always, and the better
    of the other two.
    """
    side = chip.systolic
    padded = min(-(-columns // side) * side * rows, -(-rows // side) * side * columns)
    return 2 * padded * (-(-inner // side) * side) / chip.flops_per_cycle


def tile_cycles(chip: Chip, direction: str, block_q: int, block_k: int, head_size: int) -> float:
    """Least cycles of the matmuls of one tile: two forward, five backward."""
    inner = matmul_cycles(chip, block_q, head_size, block_k)  # scores; also dP
    by_keys = matmul_cycles(chip, block_q, block_k, head_size)  # output; also dQ
    by_queries = matmul_cycles(chip, block_k, block_q, head_size)  # dK, dV
    return inner + by_keys if direction == "forward" else 2 * inner + by_keys + 2 * by_queries
