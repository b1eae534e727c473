"""Plans by the TPU compiler: a small model by default, the paper's four in the slow set."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from compiled_programs import needs_compiler
from speeds import cases

from configs import tiny
from vsfa_jax.core import config
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.batch import Budget
from vsfa_jax.planning import hlo, program, topology
from vsfa_jax.planning.changes import changed
from vsfa_jax.planning.cost import measure
from vsfa_jax.planning.examine import Slice, examine, fabric_of
from vsfa_jax.planning.report import GIB, Plan

ROOT = Path(__file__).resolve().parents[1]
TINY = config.load(tiny.get_config())
BUDGET = Budget(*TINY.data.budgets[-1])
PAPER = ("llava_1_5_7b", "llava_1_6_mistral_7b", "qwen2_5_vl_7b", "qwen3_vl_8b")
PLACES = ("v5e:2x4", "v6e:2x2")

pytestmark = needs_compiler


def plan_of(settings: config.Settings, place: Slice, name: str = "train") -> Plan:
    topology.prepare_environment()
    return examine(settings, place, name, Budget(*settings.data.budgets[-1]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Slice:
    return Slice("v5e:2x2", cache=tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def small(place: Slice) -> Plan:
    return plan_of(TINY, place)


def test_a_small_job_fits_and_every_byte_has_a_name(small: Plan, place: Slice) -> None:
    assert small.fits and small.shape == (16, 128, 68)
    assert small.available == int(15.75 * GIB)
    assert sum(small.memory.values()) == small.needed
    assert 0 < small.needed < GIB
    # adapter and two moments of it, whole on every device of a mesh with fsdp 1
    assert small.memory["optimizer"] == pytest.approx(2 * small.memory["adapter"], rel=1e-3)
    [kept] = place.cache.iterdir()
    sizes = json.loads((kept / "memory.json").read_text())["bytes"]
    arguments = ("weights, ", "adapter", "optimizer", "batch", "padding of arguments")
    held = [size for name, size in small.memory.items() if name.startswith(arguments)]
    assert sum(held) == sizes["argument"]


def test_what_it_computes_is_what_its_model_asks_for(small: Plan) -> None:
    """Nothing is computed again without remat, but for the attention's scores."""
    assert small.model_flops <= small.executed_flops <= 1.3 * small.model_flops
    assert 0 < small.mfu_serial <= small.mfu_ceiling <= 1
    assert {one.axes for one in small.collectives} == {("data",)}


def test_a_program_is_compiled_once(
    small: Plan, place: Slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program.subprocess, "run", lambda *_, **__: pytest.fail("compiled again"))
    assert plan_of(TINY, place) == small


@pytest.mark.slow
def test_a_job_that_does_not_fit_says_by_how_much(place: Slice) -> None:
    """As the compiler itself puts it; no HLO is left of such a program."""
    found = plan_of(changed(TINY, {"batch_rows": 65536}), place)
    assert not found.fits
    assert found.needed > found.available == int(15.75 * GIB)
    assert found.headroom < 0


def test_a_mesh_that_does_not_divide_the_devices_is_refused(place: Slice) -> None:
    with pytest.raises(ConfigError, match="does not make 4 devices"):
        plan_of(changed(TINY, {"mesh.fsdp": 3}), place)
    with pytest.raises(ConfigError, match="batch_rows: 6 rows of a micro-batch do not divide"):
        plan_of(changed(TINY, {"batch_rows": 6}), place)


def test_a_compiler_that_ends_itself_is_an_error_with_its_words() -> None:
    said = "I0000 begin\nF1124 fusion_util.cc:5409] Check failed: window.pad_low[0] == 0\n@ 0x7f\n"
    assert program._last_words(said).startswith("F1124 fusion_util.cc:5409] Check failed")


@pytest.mark.slow
def test_only_gradients_cross_slices(tmp_path: Path) -> None:
    """Two slices, `data` across them: what goes between is what the adapter's gradients weigh."""
    topology.prepare_environment()
    given = changed(TINY, {"mesh.data": 2, "mesh.fsdp": 4, "model.path": "tinyworld/coupled"})
    request = program.Request(given, "v5e:2x2", 2, "train", BUDGET)
    job = request.job()
    assert [device.slice_index for device in job.mesh.devices[0].flat] == [0] * 4
    assert [device.slice_index for device in job.mesh.devices[1].flat] == [1] * 4
    compiled = program.compile_program(request, job, tmp_path)
    cost = measure(hlo.parse(compiled.text), fabric_of(job), lambda _: 0.0, trips=lambda _: 1.0)
    across = [one for one in cost.collectives if one.crosses_slices]
    assert across
    assert {axis for one in across for axis in one.axes} == {"data"}
    weights = sum(4 * leaf.size for leaf in jax.tree.leaves(job.state.params))
    sent = sum(one.executions * one.sent_bytes for one in across)
    # an all-reduce of each device's quarter of the gradients, and a few scalars
    assert weights / 8 < sent < weights
    inside = [one for one in cost.collectives if not one.crosses_slices]
    assert {one.kind for one in inside} >= {"all-gather"}


@pytest.mark.slow
def test_evaluation_is_planned_too(place: Slice) -> None:
    found = plan_of(changed(TINY, {"eval.batch_size": 6}), place, "eval")
    assert found.fits and found.shape == (8, 128, 68)
    assert found.model_flops <= found.executed_flops


@pytest.mark.slow
@pytest.mark.parametrize(("name", "where"), cases([(n, p) for n in PAPER for p in PLACES], ()))
def test_the_papers_models_fit(name: str, where: str) -> None:
    """As their configs have them; minutes each."""
    settings = config.load(importlib.import_module(f"configs.{name}").get_config())
    found = plan_of(settings, Slice(where))
    assert found.fits
    assert found.headroom > 0.2 * found.available
    assert found.mfu_ceiling > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--topology=v5e:2x2"], 0, "it fits"),
        (["--topology=v9z:2x2"], 2, "error: --topology: found 'v9z:2x2', wanted one of"),
        (["--topology=v5e:3x3x3x3"], 2, "error: --topology: found 'v5e:3x3x3x3'"),
        (["--topology=v5e:2x2", "--config.mesh.fsdp=3"], 2, "does not make 4 devices"),
        (["--topology=v5e:2x2", "--config.batch_row=3"], 2, "the nearest key is 'batch_rows'"),
        (["--topology=v5e:2x2", "--config.batch_rows=65536", "--limit=0"], 1, "does not fit"),
    ],
)
def test_the_command(arguments: list[str], status: int, said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vsfa_jax.plan", "--config=configs/tiny.py"]
    done = subprocess.run(
        [*command, f"--workdir={tmp_path}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr[-2000:]
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "plan.html").exists() == (tmp_path / "plan.json").exists() == (status < 2)
