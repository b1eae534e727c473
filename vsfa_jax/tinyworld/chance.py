"""Random streams that depend on nothing but their name, the same in every process."""

from __future__ import annotations

import hashlib
import random


def digest(*parts: object) -> int:
    """A 64-bit whole number from the text of the parts."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def stream(*parts: object) -> random.Random:
    """A random generator of its own for the name that the parts spell."""
    return random.Random(digest(*parts))
