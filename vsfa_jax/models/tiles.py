"""CLIP tiles: flat patches of a square, and the patch buffer's rows for it."""

from __future__ import annotations

import numpy as np

from vsfa_jax.core.errors import WeightsError


def flat_patches(pixels: np.ndarray, size: int) -> np.ndarray:
    """[n, 3, H, W] pixels -> [n, (H / size) (W / size), 3 size size], as a convolution reads."""
    n, colours, height, width = pixels.shape
    grid = pixels.reshape(n, colours, height // size, size, width // size, size)
    return grid.transpose(0, 2, 4, 1, 3, 5).reshape(n, -1, colours * size * size)


def tile_rows(pixels: np.ndarray, image_size: int, patch_size: int) -> np.ndarray:
    """Tiles [n, 3, H, W] -> [n (1 + patches of a tile), C], a row of zeros before each tile.

    Raises:
      WeightsError: the image processor makes tiles of another size than config.json wants.
    """
    if pixels.shape[2:] != (image_size, image_size):
        raise WeightsError(
            f"preprocessor_config.json: makes images of {pixels.shape[2:]}, "
            f"config.json wants {(image_size, image_size)}"
        )
    patches = flat_patches(np.asarray(pixels, np.float32), patch_size)
    rows = np.pad(patches, ((0, 0), (1, 0), (0, 0)))
    return rows.reshape(-1, rows.shape[-1])


def tile_places(tiles: int, rows: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Segments [tiles rows] and places of tiles that have `rows` rows each."""
    segments = np.repeat(np.arange(1, tiles + 1, dtype=np.int32), rows)
    return segments, {"positions": np.tile(np.arange(rows, dtype=np.int32), tiles)}
