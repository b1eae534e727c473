"""Scenes: one to four things, one in each quadrant at most, at continuous places and sizes."""

from __future__ import annotations

import dataclasses
import functools
import io
import random
from collections.abc import Mapping

from PIL import Image, ImageDraw

from vsfa_jax.tinyworld.chance import digest
from vsfa_jax.tinyworld.shapes import DARK, LIGHT, MAIN, NEUTRALS, SHAPES, THREATS

SIZE = 64  # pixels of a side
_SCALE = 2  # drawn larger, then averaged
MIN_SIZE, MAX_SIZE = 18.0, 28.0
QUADRANTS = ("top left", "top right", "bottom left", "bottom right")
SPLITS = ("train", "validation", "test")
_COUNTS, _COUNT_WEIGHTS = (1, 2, 3, 4), (10, 20, 30, 40)
_THREAT_SHARE = 0.6  # of the things of a threat scene, beside the one that it always has

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (215, 25, 30),
    "green": (10, 140, 50),
    "blue": (30, 60, 225),
    "yellow": (250, 225, 20),
    "purple": (150, 30, 190),
    "white": (252, 252, 252),
}
BACKGROUNDS: Mapping[str, tuple[int, int, int]] = {
    "sand": (204, 186, 148),
    "gray": (140, 140, 146),
    "rose": (206, 138, 152),
    "mint": (148, 190, 174),
}
_FIXED = {DARK: (22, 22, 28), LIGHT: (255, 250, 235)}


@dataclasses.dataclass(frozen=True)
class Thing:
    """A thing of a scene: centre and size in pixels; the quadrant is an index of QUADRANTS."""

    concept: str
    colour: str
    quadrant: int
    x: float
    y: float
    size: float

    @property
    def is_threat(self) -> bool:
        return self.concept in THREATS

    @property
    def place(self) -> str:
        return QUADRANTS[self.quadrant]


@dataclasses.dataclass(frozen=True)
class Scene:
    """Things in reading order of their quadrants, no concept twice, on a background.

    Attributes:
      things: one to four.
      background: a key of BACKGROUNDS.
      light: how much lighter or darker the background is than its name, in levels of 255.
    """

    things: tuple[Thing, ...]
    background: str
    light: int = 0

    @property
    def has_threat(self) -> bool:
        return any(thing.is_threat for thing in self.things)

    @property
    def split(self) -> str:
        """The split that this scene belongs to, whatever its sizes and exact places."""
        key = [f"{t.concept},{t.colour},{t.quadrant}" for t in self.things]
        share = digest("split", *key) % 10
        return SPLITS[max(0, share - 7)]

    def draw(self) -> bytes:
        """The scene as a PNG file of SIZE by SIZE pixels."""
        base = BACKGROUNDS[self.background]
        image = Image.new(
            "RGB", (SIZE * _SCALE, SIZE * _SCALE), tuple(level + self.light for level in base)
        )
        canvas = ImageDraw.Draw(image)
        for thing in self.things:
            tones = {**_FIXED, MAIN: COLOURS[thing.colour]}
            left = (thing.x - thing.size / 2) * _SCALE
            top = (thing.y - thing.size / 2) * _SCALE
            unit = thing.size * _SCALE / 100
            for figure in SHAPES[thing.concept]:
                figure.draw(canvas, left, top, unit, tones[figure.tone])
        return encode(image.reduce(_SCALE))


def encode(image: Image.Image) -> bytes:
    """A PNG file, packed fast rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@functools.cache
def blank() -> bytes:
    """An empty picture of the world's size."""
    return encode(Image.new("RGB", (SIZE, SIZE)))


@functools.cache
def _pool(threat: bool) -> tuple[str, ...]:
    return tuple(THREATS) if threat else tuple(NEUTRALS)


def sample(rng: random.Random, split: str, threat: bool, count: int | None = None) -> Scene:
    """Draws a scene of a split; a threat scene has at least one threat, a neutral one none."""
    while True:
        scene = _sample(rng, threat, count)
        if scene.split == split:
            return scene


def _sample(rng: random.Random, threat: bool, count: int | None) -> Scene:
    count = count or rng.choices(_COUNTS, _COUNT_WEIGHTS)[0]
    quadrants = sorted(rng.sample(range(4), count))
    threats = [threat and rng.random() < _THREAT_SHARE for _ in quadrants]
    if threat and not any(threats):
        threats[rng.randrange(count)] = True
    concepts: list[str] = []
    for is_threat in threats:
        left = [name for name in _pool(is_threat) if name not in concepts]
        concepts.append(rng.choice(left))
    things = tuple(map(functools.partial(_place, rng), concepts, quadrants))
    return Scene(things, rng.choice(tuple(BACKGROUNDS)), rng.randint(-8, 8))


def _place(rng: random.Random, concept: str, quadrant: int) -> Thing:
    size = rng.uniform(MIN_SIZE, MAX_SIZE)
    free = SIZE / 4 - 1 - size / 2  # from the quadrant's centre, so that it stays within
    row, column = divmod(quadrant, 2)
    return Thing(
        concept=concept,
        colour=rng.choice(tuple(COLOURS)),
        quadrant=quadrant,
        x=SIZE / 4 + column * SIZE / 2 + rng.uniform(-free, free),
        y=SIZE / 4 + row * SIZE / 2 + rng.uniform(-free, free),
        size=size,
    )
