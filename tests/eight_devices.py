"""Run by a test in a process with eight fake devices: prints losses and gradients as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import training
from test_step import steps_of_rows

from vsfa_jax import models

if __name__ == "__main__":
    assert jax.device_count() == 8
    directory = Path(sys.argv[1])
    batches = steps_of_rows(models.load(directory), 20)
    ran = training.run(directory, batches, mode=sys.argv[2], mesh_sizes=(2, 2, 2))
    gradients = {name: leaf.tolist() for name, leaf in ran.first_gradients.items()}
    print(json.dumps({"losses": ran.losses, "gradients": gradients}))
