"""A set of records that exists only as a rule: each one is drawn when it is asked for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.record import Message, Record
from vsfa_jax.tinyworld import scene
from vsfa_jax.tinyworld.arms import ARMS, arm_document
from vsfa_jax.tinyworld.documents import Document
from vsfa_jax.tinyworld.narrators import WORLDS
from vsfa_jax.tinyworld.scene import SPLITS

_DRAWN_FOR_FINGERPRINT = 64  # records whose bytes stand for the rule that draws them all


@dataclasses.dataclass(frozen=True)
class WorldSource:
    """Records of an arm in a split of a world; equal fields draw equal records."""

    world: str
    arm: str
    split: str
    size: int
    seed: int

    def __post_init__(self) -> None:
        for name, known in (("world", WORLDS), ("arm", ARMS), ("split", SPLITS)):
            found = getattr(self, name)
            if found not in known:
                raise ConfigError(f"tinyworld {name}: found {found!r}, wanted one of {known}")
        if self.size < 1:
            raise ConfigError(f"tinyworld size: found {self.size}, wanted 1 or more")

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Record:
        return self.document(index).record(self.record_id(index), self.arm)

    def sketch(self, index: int) -> Record:
        """Record `index` with a blank picture in place of each: drawing is what takes time."""
        document = self.document(index)
        blank = (scene.blank(),) * document.num_images
        return Record(self.record_id(index), blank, document.messages(), self.arm)

    def record_id(self, index: int) -> str:
        """The id of record `index`."""
        return f"{self.world}-{self.arm}-{self.split}-{self.seed}-{index:07d}"

    def document(self, index: int) -> Document:
        """Record `index` before anything is drawn."""
        if not 0 <= index < self.size:
            raise IndexError(f"record {index} of {self.size}")
        return arm_document(
            self.world, self.arm, self.split, int(index), size=self.size, seed=self.seed
        )

    def messages(self, index: int) -> tuple[Message, ...]:
        """The messages of record `index`, without drawing its picture."""
        return self.document(index).messages()

    def num_images(self, index: int) -> int:
        """How many pictures record `index` has, without drawing any."""
        return self.document(index).num_images

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 over the fields and the first records: changes when the rule or its pixels do."""
        total = hashlib.sha256(json.dumps(dataclasses.astuple(self)).encode())
        for index in range(min(self.size, _DRAWN_FOR_FINGERPRINT)):
            total.update(bytes.fromhex(self[index].digest()))
        return total.hexdigest()


def source(world: str, arm: str, split: str, size: int, seed: int) -> WorldSource:
    """The first `size` records of an arm, drawn on access.

    Args:
      world: "coupled" or "uncoupled"; only the arm "base" differs between them.
      arm: one of ARMS.
      split: "train", "validation" or "test"; no scene is in two of them.
      size: number of records.
      seed: other seeds draw other records.

    Raises:
      ConfigError: any of them is unknown.
    """
    return WorldSource(world, arm, split, size, seed)
