"""Which shape a group is padded to: few programs where there is little to do, fit ones for much."""

from __future__ import annotations

import collections

Program = tuple[str, int]
Sizes = tuple[int, ...]
_OFTEN = 4  # groups that are worth a program
_MOST = 2  # times as much padded as wanted, until then


def bucket(length: int, least: int, parts: int = 8) -> int:
    """`length` rounded up to a multiple of a part of its power of two, at least of `least`.

    So at most one of `parts` is padding, and there are as many buckets from one power of two to
    the next; of 1, the powers themselves.
    """
    step = max(least, (1 << max(length - 1, 0).bit_length()) // (2 * parts))
    return -(-length // step) * step


class Buckets:
    """Sizes that have a program. A group of others takes somewhat larger ones the first times."""

    def __init__(self) -> None:
        self._used: set[tuple[Program, Sizes]] = set()
        self._groups: collections.Counter[tuple[Program, Sizes]] = collections.Counter()

    def choose(self, program: Program, wanted: Sizes) -> Sizes:
        """`wanted`, or sizes at least as large that the program has been compiled for.

        Args:
          program: its name, and the rows of its groups.
          wanted: buckets that a group needs.
        """
        if (program, wanted) in self._used:
            return wanted
        self._groups[program, wanted] += 1
        fitting = [
            sizes
            for name, sizes in self._used
            if name == program
            and all(w <= s <= _MOST * w for w, s in zip(wanted, sizes, strict=True))
        ]
        if fitting and self._groups[program, wanted] < _OFTEN:
            return min(fitting)
        self._used.add((program, wanted))
        return wanted
