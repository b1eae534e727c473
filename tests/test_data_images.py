"""Images: every mode becomes the right RGB, and every fault an ImageError that says where."""

import io
import random
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from vsfa_jax.core.errors import ImageError
from vsfa_jax.data.images import decode_image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encode(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pixels(data):
    image = decode_image(data, where="here")
    assert image.mode == "RGB"
    return np.asarray(image)


def corners():
    """Red over green on the left, blue on the right; 6 high, 8 wide."""
    image = Image.new("RGB", (8, 6), BLUE)
    image.paste(RED, (0, 0, 4, 3))
    image.paste(GREEN, (0, 3, 4, 6))
    return image


def huge_png(width, height):
    """A PNG that says it is large and holds next to nothing."""

    def chunk(kind, body):
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_give_their_pixels(form):
    assert np.array_equal(pixels(encode(corners(), form)), np.asarray(corners()))


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_give_nearly_their_pixels(form):
    found = pixels(encode(corners().resize((80, 60)), form, quality=95)).astype(int)
    for place, colour in {(15, 20): RED, (45, 20): GREEN, (30, 60): BLUE}.items():
        assert np.abs(found[place] - colour).max() < 12


def test_palette_grey_and_cmyk_become_rgb():
    palette = corners().convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(pixels(encode(palette)), np.asarray(corners()))
    assert pixels(encode(Image.new("L", (4, 4), 77))).tolist() == [[[77] * 3] * 4] * 4
    assert pixels(encode(Image.new("1", (4, 4), 1))).min() == 255
    assert pixels(encode(Image.new("LA", (4, 4), (77, 9)))).tolist() == [[[77] * 3] * 4] * 4
    assert pixels(encode(Image.new("RGBA", (4, 4), (*GREEN, 0))))[0, 0].tolist() == list(GREEN)
    cmyk = encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(pixels(cmyk).astype(int) - RED).max() < 12


def test_sixteen_bit_greys_keep_their_high_byte():
    grey = (np.arange(16 * 16).reshape(16, 16) * 257).astype(np.uint16)
    found = pixels(encode(Image.fromarray(grey)))
    assert np.array_equal(found[..., 0], np.arange(256).reshape(16, 16))
    assert np.array_equal(found[..., 0], found[..., 2])
    tiff = pixels(encode(Image.fromarray(grey), "TIFF"))
    assert np.array_equal(tiff, found)


def test_pixels_of_other_depths_are_refused():
    deep = Image.fromarray(np.full((4, 4), 2**20, np.int32))
    with pytest.raises(ImageError, match="32-bit pixels"):
        decode_image(encode(deep, "TIFF"), where="here")
    floats = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    with pytest.raises(ImageError, match="floating-point"):
        decode_image(encode(floats, "TIFF"), where="here")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    upright = np.asarray(corners())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(stored)), exif=exif.tobytes())
    assert np.array_equal(pixels(data), upright)


def test_first_frame_of_an_animation():
    data = encode(
        Image.new("RGB", (4, 4), RED),
        "GIF",
        save_all=True,
        append_images=[Image.new("RGB", (4, 4), BLUE)],
    )
    assert pixels(data)[0, 0].tolist() == list(RED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><body>404 Not Found</body></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\x00" * 4000,
    ],
)
def test_what_is_not_an_image_is_refused(data):
    with pytest.raises(ImageError, match=r"record 'a7', image 2: .*wanted"):
        decode_image(data, where="record 'a7', image 2")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_images_are_refused(form):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), form)
    for share in (0.05, 0.5, 0.95):
        with pytest.raises(ImageError, match="here: "):
            decode_image(data[: int(len(data) * share)], where="here")


def test_a_png_that_lacks_only_its_end_is_refused():
    data = encode(Image.new("RGB", (4, 4), RED))
    for length in range(len(data) - 12):
        with pytest.raises(ImageError):
            decode_image(data[:length], where="here")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
@pytest.mark.filterwarnings("ignore")  # Pillow warns of oddities before it refuses
def test_damaged_images_are_images_or_refused_never_another_error(form):
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    data, draw, refused = encode(Image.fromarray(noise), form), random.Random(0), 0
    for _ in range(100):
        damaged = bytearray(data)
        for _ in range(6):
            damaged[draw.randrange(min(len(data), 300))] = draw.randrange(256)
        try:
            assert decode_image(bytes(damaged), where="here").mode == "RGB"
        except ImageError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("side", [8001, 9800, 60000])
def test_decompression_bombs_are_refused_unread(side):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match="at most 64000000 pixels"):
            decode_image(huge_png(side, side), where="here")


def test_limit_is_a_setting():
    data = encode(corners())
    assert decode_image(data, where="here", max_image_pixels=48).size == (8, 6)
    with pytest.raises(ImageError, match="8 x 6 pixels; wanted at most 47"):
        decode_image(data, where="here", max_image_pixels=47)
