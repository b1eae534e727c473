"""From a measurement to comparable figures: cycles, bundles, bytes and the bound in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from vsfa_jax.kernels.attention.shapes import Shape
from vsfa_jax.perf.bundles import Block
from vsfa_jax.perf.cases import Tiles, least_tiles
from vsfa_jax.perf.chips import Chip, tile_cycles
from vsfa_jax.perf.contender import Blocks, Contender
from vsfa_jax.perf.tpu_compiler import Measurement, Part

UNIT = 512 * 512  # pairs of a query and a key that bundles of a tile are stated for
_LONG = 64  # bundles; a block without matmuls of at least as many starts or ends a row of tiles


@dataclasses.dataclass(frozen=True)
class PartFigure:
    """One kernel; all figures but the last two are of the whole shape.

    Attributes:
      cycles: libtpu's estimate, or None.
      bundles: of the tiles that have to be visited, each at least its matmuls' least cycles, and
        of what is between them; a chip's cores share them.
      bytes: each operand and result once.
      unit_bundles: of a tile without mask, a 512 x 512 part of it.
      unit_cycles: the same, at least the least cycles of its matmuls.
    """

    cycles: int | None
    bundles: float
    bytes: int
    unit_bundles: float
    unit_cycles: float


@dataclasses.dataclass(frozen=True)
class Figure:
    """One configuration of a kernel; `failure` says why it has no parts."""

    blocks: Blocks
    failure: str
    seconds: float
    parts: dict[str, PartFigure]


def figure(
    chip: Chip, contender: Contender, shape: Shape, blocks: Blocks, measured: Measurement
) -> Figure:
    """The figures of one configuration."""
    parts = {}
    for name, part in measured.parts.items():
        block_q, block_k = contender.tile(shape, name, blocks)
        direction = "forward" if name == "forward" else "backward"
        least = tile_cycles(chip, direction, block_q, block_k, shape.head_size)
        if name in ("dq", "dkv"):  # five matmuls shared, two of them made twice
            least *= {"dq": 3 / 5, "dkv": 4 / 5}[name]
        scale = UNIT / (block_q * block_k)
        full = heavy_blocks(part.blocks).full
        parts[name] = PartFigure(
            cycles=part.cycles,
            bundles=row_bundles(
                part,
                least_tiles(shape, block_q, block_k),
                least,
                outer=-(-shape.queries // block_q),
            )
            * shape.heads
            * shape.rows
            / chip.cores,
            bytes=part.bytes,
            unit_bundles=full.bundles * scale,
            unit_cycles=max(full.bundles, least) * scale,
        )
    return Figure(blocks, measured.failure, measured.seconds, parts)


@dataclasses.dataclass(frozen=True)
class Heavy:
    """The blocks of a schedule that hold matmuls.

    Attributes:
      full: the tile without a mask.
      edge: one with a mask, in the loop over tiles.
      last: the one that ends, or begins, a row of tiles; two where a row in which a segment begins
        has its own.
    """

    full: Block
    edge: Block
    last: list[Block]


def heavy_blocks(blocks: Iterable[Block]) -> Heavy:
    """What each block with matmuls is, by its order and by whether a loop is around it.

    A kernel whose grid is the loop over tiles has them in one depth: without a mask first. One
    that loops inside a grid step has the tile of its diagonal outside of the loops.
    """
    heavy = [block for block in blocks if block.matmuls]
    inner = [block for block in heavy if block.depth > 1]
    outer = [block for block in heavy if block.depth <= 1]
    if inner and outer:
        return Heavy(inner[0], inner[-1], outer)
    return Heavy(heavy[0], heavy[1] if len(heavy) > 2 else heavy[-1], heavy[-1:])


def row_bundles(part: Part, tiles: Tiles, least: float, outer: int) -> float:
    """Bundles of one head.

    Args:
      part: of the measurement.
      tiles: that one head visits.
      least: cycles of the matmuls of a tile.
      outer: rows of tiles.
    """
    heavy = heavy_blocks(part.blocks)
    light = [block.bundles for block in part.blocks if not block.matmuls]

    def at_least(block: Block) -> float:
        """A masked tile may leave out matmuls of what it cannot see."""
        return max(block.bundles, least * min(block.matmuls / heavy.full.matmuls, 1))

    last = min(tiles.partial, outer)  # one a row; what else needs a mask has its own block, if any
    cut = min(tiles.cut, last)
    plain_last, cut_last = (f(map(at_least, heavy.last)) for f in (min, max))
    matmuls = (
        tiles.full * at_least(heavy.full)
        + (last - cut) * plain_last
        + cut * cut_last
        + (tiles.partial - last) * at_least(heavy.edge)
    )
    steps = tiles.full + tiles.partial if heavy.full.depth == 1 else outer
    short, long = (sum(b for b in light if (b >= _LONG) == is_long) for is_long in (False, True))
    return matmuls + steps * short + outer * long


@dataclasses.dataclass(frozen=True)
class Best:
    """The least of each figure over the configurations of a sweep, and where it was found.

    A kernel in two parts takes each part's least by itself.
    """

    tried: int
    failed: int
    cycles: int | None
    cycles_blocks: dict[str, Blocks]
    bundles: float | None
    bundles_blocks: dict[str, Blocks]
    unit_bundles: float | None
    unit_cycles: float | None
    unit_blocks: dict[str, Blocks]
    bytes: int


def best(figures: list[Figure], contender: Contender, shape: Shape) -> Best:
    """The best of a sweep; None where no configuration has the figure."""
    good = [f for f in figures if not f.failure]
    names = list(good[0].parts) if good else []
    cycles, cycles_blocks = _least(good, names, "cycles")
    bundles, bundles_blocks = _least(good, names, "bundles")
    unit_cycles, unit_blocks = _least(good, names, "unit_cycles")
    return Best(
        tried=len(figures),
        failed=len(figures) - len(good),
        cycles=None if cycles is None else int(cycles),
        cycles_blocks=cycles_blocks,
        bundles=bundles,
        bundles_blocks=bundles_blocks,
        unit_bundles=_least(good, names, "unit_bundles")[0],
        unit_cycles=unit_cycles,
        unit_blocks=unit_blocks,
        bytes=min((sum(p.bytes for p in f.parts.values()) for f in good), default=0),
    )


def _least(
    figures: list[Figure], names: list[str], field: str
) -> tuple[float | None, dict[str, Blocks]]:
    total, chosen = 0.0, {}
    for name in names:
        known = [f for f in figures if getattr(f.parts[name], field) is not None]
        if not known:
            return None, {}
        one = min(known, key=lambda f: getattr(f.parts[name], field))
        total += getattr(one.parts[name], field)
        chosen[name] = one.blocks
    return (total, chosen) if names else (None, {})


def bound_s(chip: Chip, found: Best) -> float | None:
    """Seconds: the greater of cycles (or bundles) over the clock and bytes over the bandwidth."""
    cycles = found.bundles if found.cycles is None else found.cycles
    return None if cycles is None else max(cycles / chip.clock_hz, found.bytes / chip.bytes_per_s)
