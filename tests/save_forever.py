"""Saves steps without end, until it is killed."""

from __future__ import annotations

import itertools
import sys

from storage import trees

from vsfa_jax.checkpoint import Checkpointer

if __name__ == "__main__":
    with Checkpointer(sys.argv[1], every=1) as checkpoints:
        for step in itertools.count(1):
            checkpoints.save(step, trees(step), {"next_row": 8 * step})
