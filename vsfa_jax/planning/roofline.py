"""The least time that a compiled step can take on a chip, and the greatest MFU with it.

    compute   executed FLOPs / peak          hbm   bytes moved / bandwidth
    ici       bytes sent / a ring's          dcn   bytes sent to other slices / its bandwidth

    overlapped   max(compute, hbm, ici, dcn)    all at once: no step is faster
    serial       max(compute, hbm) + ici + dcn  nothing of the collectives is hidden

A step lies between the two if kernels and matmuls run at their peak, which they do not: latencies,
vector arithmetic and the time to start a kernel are in neither.
"""

from __future__ import annotations

import dataclasses

from vsfa_jax.planning.chips import Chip
from vsfa_jax.planning.cost import Cost


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of one step on one device, by what they go to.

    Attributes:
      compute_s: matmuls and kernels at peak.
      hbm_s: bytes from and to HBM.
      ici_s: collectives within a slice, one after another, each around a ring in both directions.
      dcn_s: those that cross slices.
      model_flops: of the step, of one device; what MFU counts.
      peak_flops: FLOP/s of one device.
    """

    compute_s: float
    hbm_s: float
    ici_s: float
    dcn_s: float
    model_flops: float
    peak_flops: float

    @property
    def overlapped_s(self) -> float:
        """If everything overlaps."""
        return max(self.compute_s, self.hbm_s, self.ici_s, self.dcn_s)

    @property
    def serial_s(self) -> float:
        """If no collective overlaps with anything."""
        return max(self.compute_s, self.hbm_s) + self.ici_s + self.dcn_s

    @property
    def bound(self) -> str:
        """What takes longest: "compute", "hbm", "ici" or "dcn"."""
        times = {
            "compute": self.compute_s,
            "hbm": self.hbm_s,
            "ici": self.ici_s,
            "dcn": self.dcn_s,
        }
        return max(times, key=lambda name: times[name])

    @property
    def mfu_ceiling(self) -> float:
        """Model FLOPs by what the peak would do in `overlapped_s`, a share of 1."""
        return self._mfu(self.overlapped_s)

    @property
    def mfu_serial(self) -> float:
        """The same in `serial_s`."""
        return self._mfu(self.serial_s)

    def _mfu(self, seconds: float) -> float:
        return self.model_flops / (seconds * self.peak_flops) if seconds else 0.0


def roofline(chip: Chip, cost: Cost, model_flops: float) -> Roofline:
    """The roofline of one run of a program.

    Args:
      chip: that it was compiled for.
      cost: of the program, on one device.
      model_flops: of the step, divided by the number of devices.
    """
    within = sum(
        one.executions * one.sent_bytes for one in cost.collectives if not one.crosses_slices
    )
    between = cost.sent_bytes - within
    return Roofline(
        compute_s=cost.total.flops / chip.device_flops,
        hbm_s=cost.total.hbm_bytes / chip.device_hbm_bytes_per_s,
        ici_s=within / chip.ring_bytes_per_s,
        dcn_s=between / (chip.dcn_bytes_per_s / chip.devices),
        model_flops=model_flops,
        peak_flops=chip.device_flops,
    )
