"""Rows and settings for the tests of a synthesis."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from configs import synth_base
from vsfa_jax.core import schema
from vsfa_jax.synth.rows import Pair, Picture
from vsfa_jax.synth.settings import Settings


def settings(**values: Any) -> Settings:
    """The defaults with "a__b" keys replaced."""
    tree = synth_base.get_config().to_dict()
    for name, value in values.items():
        section, _, key = name.rpartition("__")
        (tree[section] if section else tree)[key] = value
    return schema.load(tree, Settings)


def pair(id: str, **changed: Any) -> Pair:
    """A pair of the picture and group that its id begins with: "GROUP:PICTURE:KIND"."""
    group, picture, kind = id.split(":")[:3]
    fields: dict[str, Any] = {
        "picture": f"{group}:{picture}",
        "concept": group,
        "group": group,
        "side": "threat",
        "kind": kind,
        "question": "What lies on the table?",
        "answer": "A knife lies on the table.",
        "description": "A table with a knife.",
        "teacher": "a test",
    }
    return Pair(id=id, **{**fields, **changed})


def picture(id: str, **changed: Any) -> Picture:
    """A picture that passed its checks, of which no bytes are kept."""
    fields: dict[str, Any] = {
        **dict.fromkeys(("concept", "group", "prompt"), id),
        "side": "threat",
        "file": f"images/{id}.png",
        "sha256": id,
        "width": 64,
        "height": 48,
        "likeness": "0" * 32,
        "generator": "a test",
        "seed": 0,
        "licence": "CC0-1.0",
    }
    return Picture(id=id, **{**fields, **changed})


def photo(
    number: int, size: tuple[int, int] = (96, 64), form: str = "PNG", **options: Any
) -> bytes:
    """An image file with something to see, another for each number."""
    patches = np.random.default_rng(number).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    whole = Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)
    if mode := options.pop("mode", None):
        whole = whole.convert(mode)
    buffer = io.BytesIO()
    whole.save(buffer, form, **options)
    return buffer.getvalue()
