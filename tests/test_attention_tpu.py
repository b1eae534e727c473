"""What can be said of the TPU kernels without a TPU: they compile for it, on a mesh too.

The values are in test_attention.py, interpreted.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attention_definition import Case
from hypothesis import given, settings
from hypothesis import strategies as st
from speeds import cases

from vsfa_jax import assemble, models
from vsfa_jax.core import config
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.kernels.attention import Backend, pallas_tpu, tpu_blocks, verify
from vsfa_jax.kernels.attention.block_map import make_block_map
from vsfa_jax.kernels.attention.shapes import MODELS
from vsfa_jax.models import paper

HERE = Path(__file__).parent
COMPILER = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",  # or it asks the cloud what machine this is
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu has no wheel for this machine"
)
@pytest.mark.parametrize(
    ("chip", "wanted"),
    cases([("v6e", 2), *((chip, 6) for chip in ("v5e", "v6e", "v5p", "tpu7x"))], [("v6e", 2)]),
)
def test_the_kernels_compile(chip: str, wanted: int) -> None:
    """Both of them in every case, chosen by `auto`, and nothing is gathered to run them."""
    names = ["text, packed", "tower, packed"] if wanted == 2 else []
    done = subprocess.run(
        [sys.executable, HERE / "compile_for_tpu.py", chip, *names],
        env={**os.environ, **COMPILER, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == wanted
    for name, kernels in found.items():
        assert [k.split(".")[0] for k in kernels] == ["attention_backward", "attention_forward"], (
            name,
            kernels,
        )


def visits(segments: tuple[int, ...], t: int, block: int, causal: bool) -> tuple[int, int, int]:
    """(visited tiles, tiles in which some pair is seen, tiles that are said to need no mask)."""
    case = Case(1, t, t, 1, 1, 8, causal, segments)
    ids = case.segment_ids()
    found = make_block_map(
        tuple(map(jnp.asarray, ids)), causal=causal, window=None, block_q=block, block_k=block
    )
    tiles = np.asarray(found.tiles[0])
    same = (ids[0][0][:, None] == ids[1][0][None]) & (ids[0][0][:, None] > 0)
    seen = np.tril(same) if causal else same
    least = sum(
        seen[i : i + block, j : j + block].any()
        for i in range(0, t, block)
        for j in range(0, t, block)
    )
    for i, (_, _, first, past) in enumerate(tiles):
        assert seen[i * block : (i + 1) * block, first * block : past * block].all()
    return int((tiles[:, 1] - tiles[:, 0]).sum()), least, int((tiles[:, 3] - tiles[:, 2]).sum())


def test_no_tile_is_visited_in_vain() -> None:
    assert visits((1024,) * 4, 4096, 512, causal=True) == (12, 12, 4)
    assert visits((4096,), 4096, 512, causal=True) == (36, 36, 28)
    assert visits((1024,) * 4, 4096, 512, causal=False) == (16, 16, 16)
    assert visits((1311, 402, 977, 61, 890), 4096, 512, causal=True)[:2] == (18, 18)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, 24), max_size=8), st.sampled_from([3, 16]), st.booleans())
def test_maps_are_exact(segments: list[int], block: int, causal: bool) -> None:
    visited, least, _ = visits(tuple(segments), 200, block, causal)
    assert visited == least


@pytest.mark.parametrize("chip", sorted(tpu_blocks.read_table()["chips"]))
@pytest.mark.parametrize("length", [1, 577, 2885, *range(128, 8193, 128)])
def test_the_table_has_blocks_that_fit(chip: str, length: int, monkeypatch) -> None:
    """Chains divide blocks, one kernel's blocks divide the other's, and little is padding."""
    sizes = tpu_blocks.read_table()["chips"][chip]
    monkeypatch.setattr(
        tpu_blocks, "read_table", lambda: {"chips": {chip: sizes, tpu_blocks.LIKE: sizes}}
    )
    for head_size in (64, 128):
        for causal in (True, False):
            for mapped in (True, False):
                both = tpu_blocks.choose_blocks(
                    length, length, head_size, causal=causal, mapped=mapped
                )
                for blocks in both:
                    assert blocks.block_q % blocks.chain == 0
                    assert -length % blocks.block_q <= max(127, length // 8)
                    assert -length % blocks.block_k <= max(127, length // 8)
                for size in ("block_q", "block_k"):
                    small, large = sorted(getattr(blocks, size) for blocks in both)
                    assert large % small == 0
                if mapped:
                    assert both[0].block_q == both[1].block_q
                    assert both[0].block_k == both[1].block_k


def test_what_does_not_fit_into_vmem_is_refused(monkeypatch) -> None:
    class Small:
        vmem_capacity_bytes = 8 << 20

    monkeypatch.setattr(pallas_tpu, "tpu_info", lambda: Small)
    row = jax.ShapeDtypeStruct((1, 4096, 2, 128), jnp.bfloat16)
    reason = pallas_tpu.refuses(row, row, row, True, None, None)
    assert reason == "4096 keys of a head need 12 MiB, over half of a core's 8 MiB"


def test_verification_passes_and_fails(monkeypatch, request) -> None:
    monkeypatch.setattr(verify, "_LENGTH", 600)
    monkeypatch.setattr(verify, "_SEGMENTS", (300, 1, 199))
    tower, interpreted = verify.Use(2, 2, 72, causal=False), Backend("pallas_tpu", interpret=True)
    found = verify.verify(tower, jnp.float32, interpreted)
    assert set(found) == {"out", "dq", "dk", "dv"} and max(found.values()) < 1e-5

    jax.clear_caches()
    request.addfinalizer(jax.clear_caches)
    right = pallas_tpu.attend
    monkeypatch.setattr(
        pallas_tpu, "attend", lambda *a, scale, **k: right(*a, scale=1.1 * scale, **k)
    )
    with pytest.raises(ConfigError, match="'pallas_tpu' differs from 'xla' .* dq .* at most"):
        verify.verify(tower, jnp.float32, interpreted)


@pytest.mark.parametrize("name", ["pallas_tpu", "pallas_gpu"])
def test_a_backend_that_cannot_run_is_a_fault_of_the_config(name: str) -> None:
    with pytest.raises(ConfigError, match=f"train.attention: backend '{name}': it runs on a"):
        verify.check(verify.Use(4, 2, 128, causal=True), jnp.bfloat16, Backend(name))


def test_a_mesh_of_eight() -> None:
    """Rows over data and fsdp, heads over tensor: the values and gradients of one device."""
    done = subprocess.run(
        [sys.executable, HERE / "attention_on_eight.py"],
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["pallas_tpu", "ok", "shared", "ok", "whole", "ok"]


def test_the_shapes_are_those_of_the_paper_models() -> None:
    """Heads, key heads and head sizes of the written-out configs, whichever order."""
    listed = {(s.heads, s.kv_heads, s.head_size, s.causal) for s in MODELS.values()}
    for name in paper.names():
        config = models.skeleton(paper.directory(name))[1].config
        text, tower = config.text, config.vision.blocks
        assert (text.num_heads, text.num_kv_heads, text.head_size, True) in listed
        assert (tower.num_heads, tower.num_heads, tower.head_size, False) in listed


def test_a_run_on_an_accelerator_compares_its_attentions(monkeypatch) -> None:
    """What text, tower and its windows use, before anything is trained; not on a CPU."""
    asked = []
    monkeypatch.setattr(verify, "verify", lambda *arguments: asked.append(arguments))
    run = config.load(importlib.import_module("configs.qwen2_5_vl_7b").get_config())
    _, model = models.skeleton(paper.directory("qwen2.5-vl-7b"))
    assemble.verify_attention(run, model)
    assert not asked
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assemble.verify_attention(run, model)
    uses = [
        verify.Use(28, 4, 128, causal=True),
        verify.Use(16, 16, 80, causal=False),
        verify.Use(16, 16, 80, causal=False, longest=64),
    ]
    assert asked == [(use, jnp.bfloat16, Backend("auto")) for use in uses]
