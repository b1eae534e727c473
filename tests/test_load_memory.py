"""Loading: host memory beyond the arrays stays small, at the paper's own layer shapes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tiny_checkpoints as tiny
from safetensors.numpy import save_file

from vsfa_jax import models
from vsfa_jax.models import paper
from vsfa_jax.models.parameters import by_name
from vsfa_jax.models.rules import written

GIB = 2**30
MEASURE = """
import json, resource, sys
import jax, jax.numpy as jnp
from vsfa_jax import models
from vsfa_jax.models.parameters import by_name

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

jnp.zeros(()).block_until_ready()
before = peak()
vlm = models.load(sys.argv[1], dtype=jnp.bfloat16)
arrays = by_name(vlm.model)
jax.block_until_ready(arrays)
print(json.dumps({
    "extra": peak() - before - sum(leaf.nbytes for leaf in arrays.values()),
    "largest": max(leaf.nbytes for leaf in arrays.values()),
    "total": sum(leaf.nbytes for leaf in arrays.values()),
}))
"""


def write_checkpoint(directory: Path, layers: int) -> None:
    """Random bfloat16 weights of Qwen2.5-VL-7B's shapes with fewer layers, one file a rule."""
    tiny.write("qwen2_5_vl", directory)  # tokenizer and template
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(paper.directory("qwen2.5-vl-7b") / name, directory / name)
    config = json.loads((directory / "config.json").read_text())
    config["num_hidden_layers"] = config["vision_config"]["depth"] = layers
    config["vision_config"]["fullatt_block_indexes"] = [1]
    config["image_token_id"] = tiny.VOCABULARY["<|image_pad|>"]
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "model.safetensors").unlink()
    family, model = models.skeleton(directory)
    shapes = {name: leaf.shape for name, leaf in by_name(model).items()}
    generator, weight_map = np.random.default_rng(0), {}
    for number, rule in enumerate(family.rules(model.config)):
        shape = shapes[rule.ours]
        tensors = {}
        for layer in range(shape[0]) if rule.stacked else (None,):
            one = shape[1:] if rule.stacked else shape
            bits = generator.integers(0x3C00, 0x3D00, int(np.prod(one)), np.uint16)
            turned = bits.view(ml_dtypes.bfloat16).reshape(their_shape(rule, one, model.config))
            tensors[written(rule.theirs.format(layer=layer), family.LAYOUT)] = turned
        name = f"part-{number}.safetensors"
        save_file(tensors, directory / name)
        weight_map |= dict.fromkeys(tensors, name)
    index = json.dumps({"weight_map": weight_map})
    (directory / "model.safetensors.index.json").write_text(index)


def their_shape(rule, shape, config):
    if rule.turn.value == "convolution":
        return (shape[1], *config.patch_shape)
    return shape[::-1] if rule.turn.value == "transpose" else shape


@pytest.mark.slow
def test_memory_beyond_the_arrays_is_below_the_largest_and_two_gibibytes(tmp_path):
    write_checkpoint(tmp_path, layers=2)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print({name: f"{value / GIB:.2f} GiB" for name, value in found.items()})
    assert found["total"] > 3 * GIB
    assert found["extra"] < found["largest"] + 2 * GIB
