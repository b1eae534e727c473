"""Checkpoints: whole and verified, or passed over by name."""

from __future__ import annotations

import gc
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding
from storage import abstract, data_files, flip, same, trees

from vsfa_jax.checkpoint import Checkpointer, restore_params
from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.seal import digests

TESTS = Path(__file__).parent

# Where an array cannot be read Orbax forgets its other reads, and Python remarks on each.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def forgotten_reads() -> Iterator[None]:
    """Has those remarks made within the test whose filter knows them."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps 1 and 2; copy it before damaging it."""
    directory = tmp_path_factory.mktemp("template") / "checkpoints"
    with Checkpointer(directory, every=1) as checkpoints:
        for step in (1, 2):
            assert checkpoints.save(step, trees(step), {"next_row": 8 * step})
    return directory


@pytest.fixture
def directory(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "checkpoints")


def restore(directory: Path, step: int | None = None):
    with Checkpointer(directory, every=1) as checkpoints:
        return checkpoints.restore(abstract(trees(0)), step)


def test_restores_the_newest_step_bit_for_bit(directory: Path) -> None:
    found = restore(directory)
    assert found.step == 2
    assert found.meta == {"next_row": 16}
    assert same(found.trees, trees(2))
    assert same(restore(directory, step=1).trees, trees(1))


def test_arrays_may_be_donated_once_save_returns(tmp_path: Path) -> None:
    state = trees(5)
    kept = jax.tree.map(lambda leaf: jax.device_put(np.array(leaf), leaf.sharding), state)
    overwrite = jax.jit(
        lambda tree: jax.tree.map(lambda leaf: leaf * 0 + 1, tree), donate_argnums=0
    )
    with Checkpointer(tmp_path / "c", every=1) as checkpoints:
        checkpoints.save(1, state, {})
        jax.block_until_ready(overwrite(state))
        assert same(checkpoints.restore(abstract(kept)).trees, kept)


def test_saves_when_due_or_forced_and_keeps_the_newest(tmp_path: Path) -> None:
    with Checkpointer(tmp_path / "c", every=2, keep=2) as checkpoints:
        assert checkpoints.restore(abstract(trees(0))) is None
        saved = [checkpoints.save(step, trees(step), {}) for step in range(1, 7)]
        assert saved == [False, True, False, True, False, True]
        assert not checkpoints.save(6, trees(0), {}, force=True), "a step is never overwritten"
        assert checkpoints.save(7, trees(7), {}, force=True)
        checkpoints.wait()
        assert checkpoints.steps() == [6, 7]
    with Checkpointer(tmp_path / "d", every=0) as checkpoints:
        assert not checkpoints.save(10, trees(0), {})


def test_evaluation_reads_the_params_alone_and_changes_nothing(directory: Path) -> None:
    before = [(path, path.stat().st_mtime_ns) for path in sorted(directory.rglob("*"))]
    found = restore_params(directory, abstract(trees(0)["params"]))
    assert found.step == 2
    assert same(found.trees, {"params": trees(2)["params"]})
    assert before == [(path, path.stat().st_mtime_ns) for path in sorted(directory.rglob("*"))]


def test_a_flipped_bit_in_the_arrays_is_named_and_the_step_before_restored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wide = {step: trees(step, width=4096) for step in (1, 2)}
    with Checkpointer(tmp_path / "whole", every=1) as checkpoints:
        for step, tree in wide.items():
            checkpoints.save(step, tree, {})
    draw = random.Random(0)
    for trial in range(5):
        copy = shutil.copytree(tmp_path / "whole", tmp_path / str(trial))
        largest = max(data_files(copy, 2), key=lambda path: path.stat().st_size)
        flip(largest, draw.randrange(largest.stat().st_size * 8))
        with Checkpointer(copy, every=1) as checkpoints:
            found = checkpoints.restore(abstract(wide[1]))
        assert found.step == 1
        assert same(found.trees, wide[1])
    named = re.findall(r"2/params: layers/\w/lora_\w is not what was saved", caplog.text)
    assert len(named) >= 3, "Orbax alone would have restored these without a word"


@pytest.mark.parametrize("how", ["flip", "cut", "delete"])
def test_no_damage_to_any_file_passes_unnoticed(template: Path, tmp_path: Path, how: str) -> None:
    draw = random.Random(how)
    good = {step: trees(step) for step in (1, 2)}
    fell_back = 0
    for number, original in enumerate(data_files(template, 2)):
        copy = shutil.copytree(template, tmp_path / str(number))
        victim = copy / original.relative_to(template)
        if how == "flip":
            flip(victim, draw.randrange(victim.stat().st_size * 8))
        elif how == "cut":
            victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
        else:
            victim.unlink()
        found = restore(copy)
        assert same(found.trees, good[found.step]), original
        assert found.meta == {"next_row": 8 * found.step}, original
        fell_back += found.step == 1
    assert fell_back >= 5


def test_a_damaged_step_is_set_aside_and_can_be_saved_again(directory: Path) -> None:
    (directory / "2" / "meta" / "metadata").unlink()
    with Checkpointer(directory, every=1) as checkpoints:
        assert checkpoints.restore(abstract(trees(0))).step == 1
        assert checkpoints.steps() == [1]
        assert checkpoints.save(2, trees(2), {"next_row": 16})
        assert checkpoints.restore(abstract(trees(0))).step == 2
    assert (directory / "damaged-2").is_dir()
    assert restore(directory).step == 2


def test_evaluation_falls_back_without_moving_anything(directory: Path) -> None:
    shutil.rmtree(directory / "2" / "params")
    assert restore_params(directory, abstract(trees(0)["params"])).step == 1
    assert (directory / "2").is_dir()


def test_when_every_step_is_damaged_each_is_named(directory: Path) -> None:
    for step in (1, 2):
        (directory / str(step) / "params" / "_METADATA").write_text("not json")
    with pytest.raises(CheckpointError, match=r"(?s)no checkpoint can be restored.*/2: .*/1: "):
        restore(directory)
    assert not list(directory.glob("damaged-*")), "nothing is set aside if nothing is good"
    with pytest.raises(CheckpointError, match="/1: cannot be read"):
        restore(directory, step=1)


def test_each_leaf_that_does_not_fit_is_named(directory: Path) -> None:
    def refused(change) -> str:
        wanted = abstract(trees(0))
        change(wanted["params"])
        with (
            Checkpointer(directory, every=1) as checkpoints,
            pytest.raises(CheckpointError) as caught,
        ):
            checkpoints.restore(wanted)
        return str(caught.value)

    name, other = "layers/q/lora_a", "layers/v/lora_a"

    def another_dtype(params) -> None:
        params[name] = params[name].update(dtype=jnp.bfloat16)

    def another_shape(params) -> None:
        params[name] = params[name].update(shape=(32, 8))

    assert "layers/q/lora_a is float32[16, 8], wanted bfloat16[16, 8]" in refused(another_dtype)
    assert "layers/q/lora_a is float32[16, 8], wanted float32[32, 8]" in refused(another_shape)
    assert f"has {name}, which is not wanted" in refused(lambda params: params.pop(name))
    assert "has no extra" in refused(lambda params: params.update(extra=params[other]))
    assert not list(directory.glob("damaged-*")), "a misfit is no damage"


def test_other_trees_are_refused(directory: Path) -> None:
    with Checkpointer(directory, every=1) as checkpoints:
        with pytest.raises(CheckpointError, match=r"holds \['optimizer', 'params'\], wanted"):
            checkpoints.restore({"params": abstract(trees(0)["params"])})
        with pytest.raises(CheckpointError, match=r"no step 9; found \[1, 2\]"):
            checkpoints.restore(abstract(trees(0)), step=9)


def test_every_leaf_must_be_placed(directory: Path) -> None:
    wanted = abstract(trees(0))
    wanted["params"]["layers/q/lora_a"] = jax.ShapeDtypeStruct((16, 8), jnp.float32)
    with (
        Checkpointer(directory, every=1) as checkpoints,
        pytest.raises(ValueError, match="params/layers/q/lora_a: wanted .* sharding"),
    ):
        checkpoints.restore(wanted)
    on_one = SingleDeviceSharding(jax.devices()[0])
    wanted = jax.tree.map(lambda leaf: leaf.update(sharding=on_one), wanted)
    assert restore_params(directory, wanted["params"]).step == 2


def test_a_missing_or_foreign_directory_is_refused(tmp_path: Path) -> None:
    wanted = abstract(trees(0)["params"])
    with pytest.raises(CheckpointError, match="nowhere: no such checkpoint directory"):
        restore_params(tmp_path / "nowhere", wanted)
    with pytest.raises(CheckpointError, match="no step was ever saved"):
        restore_params(tmp_path, wanted)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"found model\.safetensors, wanted folders named by"):
        restore_params(tmp_path, wanted)
    with pytest.raises(CheckpointError, match="not a checkpoint directory"):
        Checkpointer(tmp_path, every=1)
    with pytest.raises(CheckpointError, match="found a file"):
        Checkpointer(tmp_path / "model.safetensors", every=1)
    (tmp_path / "c" / "7" / "state").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="no checkpoint can be restored"):
        restore(tmp_path / "c")


def test_digests_do_not_depend_on_where_an_array_lies() -> None:
    values = np.arange(12, dtype=np.float32)
    one = digests({"a": jnp.asarray(values), "b": jnp.asarray(values, jnp.bfloat16)})
    assert one["a"] == digests({"a": values})["a"]
    assert one["a"] != one["b"]
    values[3] = np.nextafter(values[3], 4)
    assert one["a"] != digests({"a": values})["a"]


def test_a_full_disk_is_an_error_and_costs_no_earlier_step(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        big = trees(2, width=64 * 1024)  # 2 MiB a parameter
        checkpoints = Checkpointer(disk / "c", every=1)
        checkpoints.save(1, trees(1), {})
        checkpoints.wait()
        with pytest.raises(CheckpointError, match="a checkpoint could not be written"):
            checkpoints.save(2, big, {})
            checkpoints.wait()
        with Checkpointer(disk / "c", every=1) as checkpoints:
            found = checkpoints.restore(abstract(trees(0)))
            assert found.step == 1
            assert same(found.trees, trees(1))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_killed_while_saving_leaves_whole_steps_and_no_litter(tmp_path: Path) -> None:
    draw = random.Random(0)
    wanted = abstract(trees(0))
    reached = 0
    for trial in range(3):
        directory = tmp_path / str(trial)
        run = subprocess.Popen(
            [sys.executable, str(TESTS / "save_forever.py"), str(directory)],
            env={**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"},
        )
        deadline = time.monotonic() + 60
        while not (directory / "1").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.4))
        run.send_signal(signal.SIGKILL)
        run.wait()
        newest = max(int(path.name) for path in directory.iterdir() if path.name.isdigit())
        with Checkpointer(directory, every=1) as checkpoints:
            found = checkpoints.restore(wanted)
        assert found.step == newest
        assert same(found.trees, trees(newest))
        assert all(path.name.isdigit() for path in directory.iterdir())
        reached += newest
    assert reached > 3, "no run came past its first step: the kills hit nothing"


def test_a_step_compiled_before_a_restore_runs_after_it_on_eight_devices(tmp_path: Path) -> None:
    flags = "--xla_force_host_platform_device_count=8"
    run = subprocess.run(
        [sys.executable, str(TESTS / "resume_on_eight.py"), str(tmp_path / "c")],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["8", "devices,", "restored", "as", "saved"]
    found = restore(tmp_path / "c")
    assert found.step == 3
