"""Images of cases that are read, drawn or blanked when they are looked at, and then let go.

A set can have thousands of images. A case holds where each one comes from, in a sequence that
gives encoded bytes like any other, so that memory holds no more of them than are in use.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from vsfa_jax.core.errors import DataError
from vsfa_jax.data.images import image_size


class ImageSource(Protocol):
    """Where an image comes from; sources that are equal give the same image."""

    def read(self) -> bytes:
        """The encoded image."""


@dataclasses.dataclass(frozen=True)
class Images(Sequence[bytes]):
    """Encoded images, each read from its source whenever it is asked for."""

    sources: tuple[ImageSource, ...]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Images(self.sources[index])
        return self.sources[index].read()


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image in a file."""

    path: Path

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
          DataError: the file cannot be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error}; wanted an image") from error


@dataclasses.dataclass(frozen=True)
class Blank:
    """A white image of the size of another.

    Attributes:
      of: the images that the other one is of.
      number: which of them.
      where: what to call the other one in an error.
    """

    of: Sequence[bytes]
    number: int
    where: str

    def read(self) -> bytes:
        """The blank as a PNG.

        Raises:
          DataError: the other image cannot be read.
        """
        return encode_png(
            Image.new("RGB", image_size(self.of[self.number], where=self.where), "white")
        )


def encode_png(image: Image.Image) -> bytes:
    """An image as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
