"""Bytes of an image file to RGB pixels: the only place where an image is decoded."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image, ImageOps

from vsfa_jax.core.errors import ImageError

MAX_IMAGE_PIXELS = 64_000_000
# Pillow also opens formats that run other programs (EPS); these are the ones people train on.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
# What Pillow's readers raise at damaged bytes, as seen by flipping and cutting files.
FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def decode_image(
    data: bytes, *, where: str, max_image_pixels: int = MAX_IMAGE_PIXELS
) -> Image.Image:
    """Decodes an image as a viewer would show it: turned by its EXIF orientation, 8-bit RGB.

    Of an animation it is the first frame. Transparency is ignored. 16-bit greys keep their high
    byte (Pillow alone would clip them to white).

    Args:
      data: the encoded file.
      where: what to call this image in an error, e.g. "record 'a7', image 1".
      max_image_pixels: the most width x height; checked before any pixel is decoded.

    Raises:
      ImageError: not an image of a known format, damaged, truncated, or too large.
    """
    with _opened(data, where, max_image_pixels) as image:
        image.load()
        # The last pixels of a PNG can be there while its end, with the checksum, is not.
        if image.format == "PNG" and b"IEND" not in data:
            raise OSError("no IEND chunk")
        return _to_rgb(ImageOps.exif_transpose(image), where)


def image_size(
    data: bytes, *, where: str, max_image_pixels: int = MAX_IMAGE_PIXELS
) -> tuple[int, int]:
    """(width, height) that `decode_image` will give, from the file's header.

    Raises:
      ImageError: not an image of a known format, or too large; damaged pixels are not seen.
    """
    with _opened(data, where, max_image_pixels) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (height, width) if turned else (width, height)


@contextlib.contextmanager
def _opened(data: bytes, where: str, max_image_pixels: int) -> Iterator[Image.Image]:
    """The image behind its header; whatever goes wrong in the block is an ImageError."""
    if not data:
        raise ImageError(f"{where}: an empty file; wanted an image")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_image_pixels:
                raise _too_large(f"{width} x {height} pixels", where, max_image_pixels)
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(str(error), where, max_image_pixels) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            f"{where}: not an image ({len(data)} bytes that begin with {data[:16]!r}); "
            f"wanted one of {', '.join(FORMATS)}"
        ) from error
    except FAULTS as error:
        raise ImageError(
            f"{where}: damaged or truncated image of {len(data)} bytes: {error}"
        ) from error


def _too_large(found: str, where: str, limit: int) -> ImageError:
    return ImageError(f"{where}: {found}; wanted at most {limit} pixels in an image")


def _to_rgb(image: Image.Image, where: str) -> Image.Image:
    """Converts any mode to RGB; grey values of more than 8 bits are scaled, not clipped."""
    if image.mode == "F":
        raise ImageError(f"{where}: floating-point pixels; wanted 8 or 16 bits a channel")
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise ImageError(f"{where}: 32-bit pixels; wanted 8 or 16 bits a channel")
        image = Image.fromarray((grey >> 8).astype(np.uint8))
    return image.convert("RGB")
