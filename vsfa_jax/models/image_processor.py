"""Transformers' image processors, opened with a checkpoint's own settings alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsfa_jax.core.errors import ConfigError, WeightsError


def load_image_processor(
    processor: Any, directory: Path, wanted: tuple[tuple[str, ...], ...]
) -> tuple[Any, Mapping[str, Any]]:
    """An image processor of class `processor` and the settings it was made from.

    Args:
      processor: a class of transformers.
      directory: the checkpoint.
      wanted: of each group of keys one must be there, so that no default of the class counts.

    Raises:
      WeightsError: the settings are missing or lack a key.
    """
    try:
        settings, _ = processor.get_image_processor_dict(directory)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{directory}: image processor: {error}") from error
    for keys in wanted:
        if not any(settings.get(key) is not None for key in keys):
            raise WeightsError(
                f"{directory}/preprocessor_config.json: no key {keys[0]!r}; "
                "a checkpoint's own value is wanted"
            )
    return processor.from_dict(settings), settings


def refuse_max_pixels(max_pixels: int) -> None:
    """Of families whose resolutions are fixed.

    Raises:
      ConfigError: it is not 0.
    """
    if max_pixels:
        raise ConfigError(
            f"model.max_pixels: found {max_pixels}, wanted 0: the resolutions of this family "
            "are fixed by its checkpoint"
        )
