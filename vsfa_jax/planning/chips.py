"""What is published of each TPU, and how much of its memory the compiler gives to a program.

Sources: docs.cloud.google.com/tpu/docs/v5e and /tpu7x (the latter's table has v5p, v6e and TPU7x),
read on 2026-11-24. `usable_hbm_gib` is what libtpu 0.0.52 calls available when it refuses a
program; the rest it keeps for itself.
"""

from __future__ import annotations

import dataclasses

from vsfa_jax.core.errors import ConfigError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One kind of TPU; all figures but the last are of a chip.

    Attributes:
      name: as in `v5e:2x2`.
      peak_flops: FLOP/s in bfloat16.
      hbm_gib: memory.
      hbm_bytes_per_s: its bandwidth.
      ici_links: to neighbours: 4 in a plane, 6 in space.
      ici_bytes_per_s: all links together, in one direction: half of what is published, which is of
        both.
      dcn_bytes_per_s: to other slices, through the data centre's network.
      devices: that JAX sees in a chip; they share it equally.
      usable_hbm_gib: of one device.
    """

    name: str
    peak_flops: float
    hbm_gib: int
    hbm_bytes_per_s: float
    ici_links: int
    ici_bytes_per_s: float
    dcn_bytes_per_s: float
    devices: int
    usable_hbm_gib: float

    @property
    def device_flops(self) -> float:
        """Peak FLOP/s of one device."""
        return self.peak_flops / self.devices

    @property
    def device_hbm_bytes_per_s(self) -> float:
        """Bandwidth of one device's share of HBM."""
        return self.hbm_bytes_per_s / self.devices

    @property
    def ring_bytes_per_s(self) -> float:
        """What a device sends around a ring along one axis of the torus, in both directions."""
        return 2 * self.ici_bytes_per_s / self.ici_links / self.devices

    @property
    def usable_hbm_bytes(self) -> int:
        """Of one device."""
        return int(self.usable_hbm_gib * GIB)


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5e", 197e12, 16, 819e9, 4, 200e9, 25e9 / 8, 1, 15.75),
        Chip("v6e", 918e12, 32, 1638e9, 4, 400e9, 100e9 / 8, 1, 31.24),
        Chip("v5p", 459e12, 95, 2765e9, 6, 600e9, 50e9 / 8, 1, 95.73),
        Chip("tpu7x", 2307e12, 192, 7380e9, 6, 600e9, 100e9 / 8, 2, 94.74),
    )
}


def chip_of(topology: str) -> Chip:
    """The chip of a topology such as "v5e:4x4".

    Raises:
      ConfigError: it is not one of `CHIPS`.
    """
    name, _, shape = topology.partition(":")
    if name not in CHIPS or not shape:
        raise ConfigError(f"--topology: found {topology!r}, wanted one of {[*CHIPS]} and a shape")
    return CHIPS[name]
