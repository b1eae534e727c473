"""Trains; the process that VSFA_FAULTY names cannot read its records of the fifth step."""

from __future__ import annotations

import os
from typing import Any

import jax

from vsfa_jax import train
from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.pipeline import Pipeline

load = Pipeline.load


def faulty(self: Pipeline, step: int) -> Any:
    if int(step) == 4 and jax.process_index() == int(os.environ["VSFA_FAULTY"]):
        raise DataError("record 'r': a made-up fault")
    return load(self, step)


if __name__ == "__main__":
    Pipeline.load = faulty
    entry.run(train.main, distributed=True)
