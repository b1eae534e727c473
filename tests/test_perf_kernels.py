"""The benchmark of the attention kernels: reading the compiler's text, counting tiles, refusals."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.kernels.attention import tpu_blocks
from vsfa_jax.kernels.attention.shapes import Shape
from vsfa_jax.perf import (
    bundles,
    cases,
    chips,
    contender,
    figures,
    goals,
    sweep,
    tpu_compiler,
    tuning,
)
from vsfa_jax.perf.bundles import Block
from vsfa_jax.perf.tpu_compiler import Job, Measurement, Part

ROOT = Path(__file__).resolve().parents[1]

HLO = """
  %copy.1 = bf16[4,256]{1,0:T(8,128)(2,1)} copy(%p0)
  %fwd.1 = (bf16[1,2,256,80]{3,2,1,0:T(8,128)(2,1)}, f32[1,2,1,256]{3,2,1,0:T(1,128)}) \
custom-call(%p0, %p1), custom_call_target="tpu_custom_call", \
operand_layout_constraints={bf16[1,2,256,80]{3,2,1,0}, s32[6]{0}}, frontend_attributes={}, \
backend_config={"bundle_analysis_data":{"estimated_cycles":"123","scalar_inputs":"0"}}
  ROOT %mapped = f32[8,128]{1,0} custom-call(%p0), custom_call_target="tpu_custom_call", \
operand_layout_constraints={f32[8,128]{1,0}}, frontend_attributes={}, \
backend_config={"bundle_analysis_data":{"estimated_cycles":"7","scalar_inputs":"1"}}
"""

SCHEDULE = """
= control target key start
LB: loop body
= control target key end

     0   :  { %s1 = smov.u32 0 }
   0x1   :  { %s2 = smov.u32 1 } /* Start region 1 */
   0x2 LB: > { %s3 = sld [smem:[#allocation16]] }
   0x3   : > { %9 = sbr.rel (%p1) target = $region4 }
   0x4   : > { %v1 = vld [vmem:[%s1]]  ;;  %7 = vmatmul.bf16.gmra.mxu0 %v1 }
   0x5 LB: >> { %8 = vmatmul.mubr.bf16.gmra.mxu1 %v2  ;;  %10 = vmatmul.mubr.bf16.gmra.mxu0 %v3 }
   0x6   : >> {} /* End region 2 */
   0x7 PF: > { %s4 = sadd.s32 1, %s3 }
"""


def test_kernels_of_a_compiled_program() -> None:
    first, mapped = bundles.kernels(HLO)
    padded = 2 * 256 * 128 * 2  # 80 lanes become 128
    assert first == bundles.Kernel("fwd.1", 123, padded + 2 * 256 * 4 + padded + 6 * 4)
    assert mapped.name == "mapped" and mapped.cycles is None, "it has scalar inputs"


def test_blocks_end_at_labels_and_jumps() -> None:
    assert bundles.blocks(SCHEDULE) == [
        Block(2, 0, 0),
        Block(2, 1, 0),
        Block(1, 1, 1),
        Block(2, 2, 2),
        Block(1, 1, 0),
    ]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape(1, 16, 16, 1, 1, 128, False), (16, 0, 0)),
        (Shape(1, 16, 16, 1, 1, 128, True), (6, 4, 0)),
        (Shape(1, 16, 16, 1, 1, 128, True, (8, 8)), (2, 4, 0)),
        (Shape(1, 16, 16, 1, 1, 128, True, (6,)), (0, 3, 1)),
        (Shape(1, 16, 16, 1, 1, 128, False, (8, 8)), (8, 0, 0)),
        (Shape(1, 16, 16, 1, 1, 128, False, (6,)), (1, 3, 0)),
        (Shape(1, 16, 16, 1, 1, 128, True, None, 4), (0, 7, 0)),
        (Shape(1, 18, 18, 1, 1, 128, False), (16, 9, 0)),
    ],
)
def test_least_tiles(shape: Shape, expected: tuple[int, int, int]) -> None:
    assert cases.least_tiles(shape, 4, 4) == expected


def test_cases_keep_what_decides_a_kernel() -> None:
    for packed, whole in cases.PACKED.values():
        assert packed.segments is not None and whole.segments is None
        assert (packed.queries, packed.head_size) == (whole.queries, whole.head_size)
    assert cases.CASES["causal_4096_h128_grouped"].kv_heads == 1


@pytest.mark.parametrize("chip", chips.CHIPS.values(), ids=lambda chip: chip.name)
def test_least_cycles_of_a_tile(chip: chips.Chip) -> None:
    # head size 128 fills one side of a unit of 128, and half of one of 256 in the first product
    least = chips.tile_cycles(chip, "forward", 1024, 1024, 128)
    useful = 2 * 2 * 1024 * 1024 * 128 / chip.flops_per_cycle
    assert least == useful * (1.5 if chip.systolic == 256 else 1)
    assert chips.tile_cycles(chip, "backward", 512, 512, 128) > 2 * least / 4


def test_a_figure_counts_tiles_of_both_kinds() -> None:
    contended = contender.Contender(
        name="ours",
        source="",
        sweep=lambda shape, direction: [],
        build=lambda shape, direction, blocks: (lambda: None, ()),
        parts={},
        tile=lambda shape, part, blocks: (512, 512),
        is_simulated=True,
    )
    part = Part(9, 10, (Block(100, 1, 0), Block(10, 1, 0), Block(3000, 1, 4), Block(4000, 1, 4)))
    measured = Measurement("", {"forward": part}, 0, 0.0)
    shape = Shape(1, 2048, 2048, 2, 2, 128, True)
    found = figures.figure(chips.CHIPS["v5e"], contended, shape, {}, measured)
    one_head = 6 * 3000 + 4 * 4000 + 10 * 10 + 4 * 100
    assert found.parts["forward"].bundles == 2 * one_head
    failed = figures.Figure({}, "signal 6", 1.0, {})
    best = figures.best([failed, found], contended, shape)
    assert (best.tried, best.failed, best.cycles) == (2, 1, 9)
    sweeps = {"causal_2048_h128": {"forward": {"ours": best, "flash": best}}}
    [goal] = goals.goals(chips.CHIPS["v5e"], sweeps, [])
    assert (goal.found, goal.is_met) == (1.0, False)


def test_the_tuned_table_takes_one_tile_for_both_passes_of_a_packed_row() -> None:
    def one(q: int, chain: int, bundles: float) -> figures.Figure:
        part = figures.PartFigure(None, bundles, 0, 0.0, 0.0)
        sizes = {"block_q": q, "block_k": q, "chain": chain, "columns": 0}
        return figures.Figure(sizes, "", 0.0, {"x": part})

    failed = figures.Figure({"block_q": 1, "block_k": 1, "chain": 1}, "signal 6", 0.0, {})
    found = {
        "text_packed": {
            "forward": [one(1024, 256, 90.0), one(512, 256, 100.0), failed],
            "backward": [one(1024, 256, 300.0), one(512, 512, 200.0), one(512, 256, 210.0)],
        }
    }
    chosen = tuning.entries(found)
    wanted = {
        "forward": {"block_q": 512, "block_k": 512, "chain": 256, "columns": 0},
        "backward": {"block_q": 512, "block_k": 512, "chain": 512, "columns": 0},
    }
    assert chosen == {"causal, packed, rows": wanted, "causal, packed, columns": wanted}


def test_the_tuned_table_keeps_where_its_other_sizes_are_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "tuned.json"
    table.write_text('{"chips": {}, "made": {}}')
    monkeypatch.setattr(tuning, "TABLE", table)
    one, two, three = ({"forward": {"block_q": n}} for n in (1, 2, 3))
    tuning.write(chips.CHIPS["v5e"], {"a": one, "b": one}, {"command": "first"})
    tuning.write(chips.CHIPS["v5e"], {"b": two}, {"command": "second"})
    kept = json.loads(table.read_text())
    assert kept["chips"] == {"v5e": {"a": one, "b": two}}
    assert [(run["command"], run["kinds"]) for run in kept["made"]["v5e"]] == [
        ("first", ["a"]),
        ("second", ["b"]),
    ]
    tuning.write(chips.CHIPS["v5e"], {"a": three, "b": three}, {"command": "third"})
    [run] = json.loads(table.read_text())["made"]["v5e"]
    assert (run["command"], run["kinds"]) == ("third", ["a", "b"])


@pytest.mark.parametrize("name", [*cases.CASES, *cases.PACKED])
def test_a_shape_has_the_kernels_own_name_in_the_table(name: str) -> None:
    shape = cases.CASES.get(name) or cases.PACKED[name][0]
    kind = tuning.kind(shape)
    assert all(kind in kinds for kinds in tpu_blocks.read_table()["chips"].values())
    assert ("windows" in kind) == (name == "qwen2_5_windows")
    assert ("packed" in kind) == (name in cases.PACKED and name != "qwen2_5_windows")


def test_a_measurement_is_kept_unless_its_process_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "versions", lambda packages: {})
    job = Job("flash", "v5e", Shape(1, 16, 16, 1, 1, 128, True), "forward", {"block_q": 8})
    figure = Measurement("", {"forward": Part(9, 10, ())}, 0, 1.0)
    ends = iter(["signal 9: no word", "signal 6: Check failed", ""])
    simulated = []

    def measure(job: Job, *, simulate: bool, timeout_s: float) -> Measurement:
        failure = next(ends)
        simulated.append(simulate)
        return Measurement(failure, {}, 0, 1.0) if failure else figure

    monkeypatch.setattr(tpu_compiler, "measure", measure)
    found = [
        sweep.measure_all([job], tmp_path, timeout_s=60.0, show=lambda line: None)[0]
        for _ in range(3)
    ]
    assert [one.failure for one in found] == ["signal 9: no word", "", ""]
    assert found[1] == found[2] == figure
    assert simulated == [True, True, False], "a killed process says nothing of the simulator"


@pytest.mark.parametrize("package", ["libtpu", "tokamax"])
def test_a_missing_package_names_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"{package} is not installed; pip install .*\[perf\]"):
        contender.require(package)


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vsfa_jax.perf.kernels", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_run_on_a_device_without_one_is_refused() -> None:
    done = run("--device")
    assert done.returncode == 2
    assert "error: --device: wanted a GPU, found" in done.stderr


@pytest.mark.slow
def test_the_command_measures_the_smallest_shape(tmp_path: Path) -> None:
    for package in ("libtpu", "tokamax"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    done = run(
        *("--topology=v5e:2x2", "--quick", "--case=causal_2048_h128", "--direction=forward"),
        *(f"--scratch={tmp_path / 'scratch'}", f"--results={tmp_path}"),
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "attention-v5e.json").read_text())
    bests = kept["cases"]["causal_2048_h128"]["forward"]
    assert bests["ours"]["best"]["cycles"] > 0 and bests["flash"]["best"]["cycles"] > 0
    assert {one["best"]["tried"] for one in bests.values()} == {2}
