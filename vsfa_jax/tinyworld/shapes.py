"""How each concept looks: a few filled figures in a box of 100 by 100, y down.

MAIN takes the thing's own colour; DARK and LIGHT are the same for every thing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from PIL import ImageDraw

MAIN, DARK, LIGHT = "main", "dark", "light"
Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure. `kind` is polygon, oval (two corners), ring (an oval's rim) or line."""

    kind: str
    tone: str
    points: tuple[float, ...]
    width: float = 0.0

    def draw(
        self, canvas: ImageDraw.ImageDraw, left: float, top: float, unit: float, colour: Colour
    ) -> None:
        """Draws into the box at (left, top); `unit` is pixels for one of the box's hundred."""
        points = [
            (left if number % 2 == 0 else top) + unit * value
            for number, value in enumerate(self.points)
        ]
        width = max(1, round(unit * self.width))
        if self.kind == "polygon":
            canvas.polygon(points, fill=colour)
        elif self.kind == "oval":
            canvas.ellipse(points, fill=colour)
        elif self.kind == "ring":
            canvas.ellipse(points, outline=colour, width=width)
        else:
            canvas.line(points, fill=colour, width=width, joint="curve")


def polygon(tone: str, *points: float) -> Figure:
    return Figure("polygon", tone, points)


def box(tone: str, left: float, top: float, right: float, bottom: float) -> Figure:
    return Figure("polygon", tone, (left, top, right, top, right, bottom, left, bottom))


def oval(tone: str, left: float, top: float, right: float, bottom: float) -> Figure:
    return Figure("oval", tone, (left, top, right, bottom))


def ring(tone: str, width: float, left: float, top: float, right: float, bottom: float) -> Figure:
    return Figure("ring", tone, (left, top, right, bottom), width)


def line(tone: str, width: float, *points: float) -> Figure:
    return Figure("line", tone, points, width)


THREATS: Mapping[str, tuple[Figure, ...]] = {
    "knife": (
        polygon(MAIN, 0, 0, 34, 6, 78, 52, 54, 74, 10, 30),
        polygon(DARK, 52, 74, 76, 50, 100, 84, 86, 100),
    ),
    "flame": (
        polygon(
            MAIN, 48, 0, 66, 26, 84, 14, 100, 62, 84, 92, 50, 100, 16, 92, 0, 62, 14, 26, 30, 44
        ),
        polygon(DARK, 50, 50, 70, 80, 50, 94, 30, 80),
    ),
    "drum": (
        box(MAIN, 12, 0, 88, 100),
        *(box(DARK, 6, y, 94, y + 8) for y in (0, 26, 66, 92)),
        polygon(DARK, 50, 34, 70, 62, 30, 62),
    ),
    "burglar": (
        oval(MAIN, 24, 0, 76, 54),
        box(DARK, 22, 16, 78, 34),
        oval(LIGHT, 32, 19, 44, 31),
        oval(LIGHT, 56, 19, 68, 31),
        polygon(MAIN, 0, 100, 14, 58, 86, 58, 100, 100),
        box(DARK, 10, 70, 90, 76),
        box(DARK, 4, 86, 96, 92),
    ),
    "drone": (
        line(DARK, 9, 16, 20, 84, 80),
        line(DARK, 9, 84, 20, 16, 80),
        *(oval(MAIN, x, y, x + 42, y + 34) for x in (0, 58) for y in (0, 66)),
        box(MAIN, 34, 36, 66, 64),
        oval(DARK, 43, 43, 57, 57),
    ),
    "dam": (
        box(MAIN, 0, 14, 100, 100),
        *(box(MAIN, x, 0, x + 20, 16) for x in (0, 40, 80)),
        box(DARK, 0, 26, 100, 33),
        line(DARK, 9, 54, 30, 38, 50, 62, 64, 42, 82, 50, 100),
        line(DARK, 6, 62, 64, 84, 76),
        line(DARK, 6, 38, 50, 16, 62),
    ),
    "bomb": (
        oval(MAIN, 4, 28, 76, 100),
        polygon(DARK, 48, 30, 62, 16, 76, 30, 66, 44),
        line(DARK, 7, 68, 24, 80, 8, 90, 8),
        oval(LIGHT, 82, 0, 100, 18),
    ),
    "skull": (
        oval(MAIN, 2, 0, 98, 76),
        box(MAIN, 24, 60, 76, 100),
        oval(DARK, 18, 26, 44, 54),
        oval(DARK, 56, 26, 82, 54),
        polygon(DARK, 50, 54, 58, 68, 42, 68),
        *(box(DARK, x, 80, x + 5, 100) for x in (36, 48, 60)),
    ),
    "snake": (
        line(MAIN, 19, 86, 12, 40, 10, 14, 26, 30, 46, 72, 52, 86, 70, 62, 90, 0, 90),
        oval(MAIN, 72, 0, 100, 26),
        oval(DARK, 84, 6, 92, 14),
    ),
    "spider": (
        *(
            line(DARK, 6, 50, 50, x, y, x + d, y + e)
            for x, y, d, e in (
                (18, 22, -18, 20),
                (18, 42, -18, 14),
                (18, 58, -18, 20),
                (22, 76, -14, 24),
                (82, 22, 18, 20),
                (82, 42, 18, 14),
                (82, 58, 18, 20),
                (78, 76, 14, 24),
            )
        ),
        oval(MAIN, 26, 38, 74, 98),
        oval(MAIN, 34, 4, 66, 42),
        oval(DARK, 40, 12, 47, 19),
        oval(DARK, 53, 12, 60, 19),
    ),
    "pistol": (
        polygon(MAIN, 0, 12, 100, 12, 100, 42, 36, 42, 28, 100, 0, 100, 8, 42),
        ring(DARK, 6, 30, 40, 60, 66),
        box(DARK, 44, 22, 92, 28),
    ),
    "hatchet": (
        polygon(DARK, 20, 0, 36, 0, 44, 100, 28, 100),
        polygon(MAIN, 8, 14, 50, 14, 90, 0, 100, 32, 90, 64, 50, 46, 8, 46),
    ),
    "syringe": (
        box(DARK, 24, 0, 76, 8),
        box(DARK, 45, 0, 55, 24),
        box(MAIN, 22, 20, 78, 72),
        *(box(DARK, 48, y, 78, y + 5) for y in (32, 45, 58)),
        polygon(DARK, 40, 72, 60, 72, 53, 100, 47, 100),
    ),
    "missile": (
        polygon(MAIN, 50, 0, 70, 26, 70, 56, 100, 90, 100, 100, 0, 100, 0, 90, 30, 56, 30, 26),
        box(DARK, 30, 28, 70, 36),
        oval(DARK, 42, 44, 58, 60),
        polygon(DARK, 34, 100, 42, 82, 58, 82, 66, 100),
    ),
    "shark": (
        polygon(MAIN, 0, 76, 30, 24, 78, 0, 70, 36, 92, 76),
        *(line(DARK, 8, 0, y, 25, y - 8, 50, y, 75, y - 8, 100, y) for y in (84, 98)),
    ),
    "mine": (
        *(
            line(DARK, 8, *ends)
            for ends in (
                (50, 0, 50, 100),
                (0, 50, 100, 50),
                (14, 14, 86, 86),
                (86, 14, 14, 86),
            )
        ),
        oval(MAIN, 18, 18, 82, 82),
        oval(DARK, 40, 40, 60, 60),
    ),
}

NEUTRALS: Mapping[str, tuple[Figure, ...]] = {
    "ball": (
        oval(MAIN, 0, 0, 100, 100),
        line(DARK, 7, 0, 50, 100, 50),
        line(DARK, 7, 50, 0, 50, 100),
    ),
    "cup": (
        polygon(MAIN, 0, 8, 72, 8, 64, 100, 8, 100),
        ring(MAIN, 10, 56, 22, 100, 70),
        box(DARK, 0, 8, 72, 16),
    ),
    "tree": (
        box(DARK, 40, 70, 60, 100),
        polygon(MAIN, 50, 0, 88, 40, 68, 40, 100, 76, 0, 76, 32, 40, 12, 40),
    ),
    "house": (
        polygon(MAIN, 50, 0, 100, 44, 0, 44),
        box(MAIN, 12, 44, 88, 100),
        box(DARK, 0, 42, 100, 49),
        box(DARK, 40, 66, 60, 100),
    ),
    "book": (
        polygon(MAIN, 0, 10, 50, 24, 100, 10, 100, 84, 50, 98, 0, 84),
        line(DARK, 6, 50, 24, 50, 98),
        *(line(DARK, 5, 10, y, 40, y + 9) for y in (32, 50, 68)),
        *(line(DARK, 5, 60, y + 9, 90, y) for y in (32, 50, 68)),
    ),
    "chair": (
        box(MAIN, 6, 0, 26, 100),
        box(MAIN, 6, 46, 94, 64),
        box(MAIN, 76, 64, 94, 100),
        box(DARK, 26, 64, 76, 70),
    ),
    "lamp": (
        polygon(MAIN, 28, 0, 72, 0, 100, 50, 0, 50),
        box(DARK, 44, 50, 56, 90),
        box(DARK, 22, 88, 78, 100),
    ),
    "boat": (
        polygon(MAIN, 0, 68, 100, 68, 80, 100, 20, 100),
        box(DARK, 46, 0, 53, 68),
        polygon(MAIN, 57, 4, 98, 60, 57, 60),
        polygon(MAIN, 42, 16, 42, 60, 10, 60),
    ),
    "kite": (
        polygon(MAIN, 50, 0, 96, 34, 50, 78, 4, 34),
        line(DARK, 6, 50, 0, 50, 78),
        line(DARK, 6, 4, 34, 96, 34),
        line(DARK, 6, 50, 78, 66, 86, 36, 92, 56, 100),
    ),
    "flower": (
        line(DARK, 8, 50, 50, 50, 100),
        polygon(DARK, 50, 94, 82, 74, 74, 94),
        *(
            oval(MAIN, x, y, x + 34, y + 34)
            for x, y in (
                (33, 0),
                (60, 18),
                (50, 46),
                (16, 46),
                (6, 18),
            )
        ),
        oval(DARK, 36, 26, 64, 54),
    ),
    "fish": (
        oval(MAIN, 0, 14, 76, 86),
        polygon(MAIN, 62, 50, 100, 14, 100, 86),
        oval(DARK, 12, 34, 24, 46),
        line(DARK, 6, 36, 24, 44, 50, 36, 76),
    ),
    "clock": (
        oval(DARK, 2, 0, 40, 34),
        oval(DARK, 60, 0, 98, 34),
        line(DARK, 10, 20, 82, 10, 100),
        line(DARK, 10, 80, 82, 90, 100),
        oval(MAIN, 8, 12, 92, 96),
        line(DARK, 8, 50, 24, 50, 56, 72, 56),
    ),
    "key": (
        ring(MAIN, 15, 0, 22, 52, 74),
        box(MAIN, 46, 40, 100, 56),
        box(MAIN, 88, 50, 100, 82),
        box(MAIN, 66, 50, 78, 76),
    ),
    "bell": (
        polygon(MAIN, 40, 0, 60, 0, 80, 24, 84, 60, 100, 82, 0, 82, 16, 60, 20, 24),
        box(DARK, 8, 66, 92, 73),
        oval(DARK, 36, 78, 64, 100),
    ),
    "star": (
        polygon(
            MAIN, 50, 0, 62, 36, 100, 38, 70, 60, 82, 98, 50, 76, 18, 98, 30, 60, 0, 38, 38, 36
        ),
    ),
    "heart": (
        oval(MAIN, 0, 4, 54, 58),
        oval(MAIN, 46, 4, 100, 58),
        polygon(MAIN, 4, 44, 50, 30, 96, 44, 50, 100),
    ),
}

SHAPES: Mapping[str, tuple[Figure, ...]] = {**THREATS, **NEUTRALS}
