"""What a backward pass computes again to save memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx


def rematerialised(body: Callable[..., Any], remat: bool) -> Callable[..., Any]:
    """A scan's body of which, if asked, only the inputs are kept for the backward pass."""
    return jax.checkpoint(body, prevent_cse=False) if remat else body


def set_remat(model: nnx.Module, remat: bool) -> None:
    """Turns it on or off in tower and language model, in place."""
    for part in (model.vision, model.language):  # type: ignore[attr-defined]
        part.remat = remat
