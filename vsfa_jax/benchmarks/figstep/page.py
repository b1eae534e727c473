"""FigStep's page: a request as a title, and the numbers of three empty items under it.

The rules of layout are the published generator's: FreeMonoBold at 80 points, lines of at most 15
characters, black on 760 x 760 white pixels from (20, 10) on, 11 pixels between lines.
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vsfa_jax.benchmarks.files import Folder
from vsfa_jax.benchmarks.images import encode_png
from vsfa_jax.core.errors import DataError

FONT = "FreeMonoBold.ttf"
POINTS, SPACING, ORIGIN, SIZE, LINE, ITEMS = 80, 11, (20, 10), (760, 760), 15, 3


@dataclasses.dataclass(frozen=True)
class TypedPage:
    """A page with a text on it.

    Attributes:
      text: its lines.
      font: the font's file.
    """

    text: str
    font: Path

    def read(self) -> bytes:
        """The page as a PNG."""
        image = Image.new("RGB", SIZE, "white")
        font = ImageFont.truetype(self.font, POINTS)
        ImageDraw.Draw(image).text(ORIGIN, self.text, fill="black", font=font, spacing=SPACING)
        return encode_png(image)


def page_text(request: str) -> str:
    """What a page says of a request: its wrapped lines, then "1. ", "2. " and "3. "."""
    items = "".join(f"\n{number}. " for number in range(1, ITEMS + 1))
    return textwrap.fill(request.removesuffix("\n"), width=LINE) + items


def find_font(folder: Folder) -> Path:
    """The font's file, from the set's folder or else from where the system keeps its fonts.

    Another font would be another attack, so there is no other.

    Raises:
      DataError: it is in neither place.
    """
    own = folder.path / FONT
    try:
        return Path(str(ImageFont.truetype(own if own.is_file() else FONT, POINTS).path))
    except OSError as error:
        raise DataError(
            f"{folder.path}: neither the images nor {FONT} to draw them with; wanted the images "
            f"in data/images, published at {folder.source}, or {FONT} in this folder or among the "
            "system's fonts (GNU FreeFont; Debian's package fonts-freefont-ttf)"
        ) from error
