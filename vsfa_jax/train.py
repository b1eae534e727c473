"""Fine-tunes a vision-language model.

    python -m vsfa_jax.train --config=configs/tiny.py --workdir=runs/tiny --config.lora.rank=4

Read `train` from top to bottom: that is the whole loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from flax import nnx
from jax.experimental import multihost_utils

from vsfa_jax import goodput, optim, step
from vsfa_jax.assemble import Assembly, assemble, optimizer_config, verify_attention
from vsfa_jax.checkpoint import Checkpointer
from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings, to_dict
from vsfa_jax.core.errors import ConfigError, TrainingError
from vsfa_jax.core.workdir import CHECKPOINTS, EVERY_S, Workdir
from vsfa_jax.data.batch import Batch, Budget
from vsfa_jax.input import Input, check_rows, make_input, place, resolution_hash
from vsfa_jax.manifest import check_config, hash_json
from vsfa_jax.metrics import MetricsWriter
from vsfa_jax.models.parameters import by_name, part_of, replace
from vsfa_jax.planning.settings import refuse_if_planned_not_to_fit
from vsfa_jax.preemption import Preemption
from vsfa_jax.probe import Probe
from vsfa_jax.progress import Progress
from vsfa_jax.provenance import base_hash, manifest
from vsfa_jax.state import TrainState, create_state, describe
from vsfa_jax.vision_cache import VisionCache

Step = Callable[[TrainState, nnx.State, Batch], tuple[TrainState, step.Metrics]]


def train(settings: Settings, workdir: Path | Workdir, age_s: float = 0.0) -> bool:
    """Trains to `settings.steps`, from the newest good checkpoint of `workdir` if it has one.

    Args:
      settings: the run's.
      workdir: of the run; all its processes see the same one, and the first alone writes.
      age_s: seconds that the start took until now.

    Returns:
      Whether it got there; False where a signal stopped it.

    Raises:
      UserError: bad input, or a workdir of another run; nothing is lost.
      TrainingError: the loss is not finite; the last good checkpoint is kept.
    """
    workdir = Workdir.of(workdir)
    with goodput.Clock(age_s) as clock:
        refuse_if_planned_not_to_fit(settings, workdir.folder)
        assembly = assemble(settings)
        check_rows(settings, assembly.mesh)
        verify_attention(settings, assembly.vlm)
        cache = open_cache(settings, assembly, workdir.folder)
        inputs = make_input(settings, assembly, "train", workdir.folder, cache)
        probe = Probe(settings, assembly, workdir.folder, cache) if settings.eval_every else None
        open_workdir(settings, assembly, inputs, workdir)
        state, train_step = begin(settings, assembly)

        shows = jax.process_index() == 0  # of several processes one alone writes and speaks
        with (
            open_checkpoints(settings, workdir) as checkpoints,
            open_metrics(settings, workdir, shows) as metrics,
            Preemption() as preemption,
            Progress(settings.steps, enabled=settings.progress and shows) as progress,
        ):
            state = restore(checkpoints, state, inputs, clock)
            clock.begin_steps(metrics.earlier(), done := int(state.step))
            for number, batch, ids, waited in inputs.batches(done, settings.steps, clock):
                began = time.perf_counter()
                state, out = train_step(
                    state, assembly.split.frozen, place(batch, settings, assembly.mesh)
                )
                row = read_metrics_row(out, inputs.tokens(number), began, waited)
                if not row.pop("finite"):
                    raise TrainingError(not_finite(number + 1, row, ids))
                stop = preemption.agreed()
                if probe and not stop and due(number + 1, settings.eval_every, settings.steps):
                    with clock.on("evaluation"):
                        row.update(probe.run(state.params, preemption.agreed))
                metrics.write(number + 1, {**row, **clock.row()})
                progress.update(number + 1, row)
                last = stop or number + 1 == settings.steps
                with clock.on("checkpoint"):
                    forced = last and settings.checkpoint_every > 0
                    workdir.send(0.0 if checkpoints.is_due(number + 1, forced) else EVERY_S)
                    save(checkpoints, state, inputs, forced)
                if stop:
                    logging.info("stopped by a signal after step %d", number + 1)
                    return False
        logging.info("%s", goodput.describe(clock.row()))
    return True


def begin(settings: Settings, assembly: Assembly) -> tuple[TrainState, Step]:
    """The state before the first step, and the compiled step."""
    logging.info("parameters:\n%s", describe(assembly.split))
    assembly.release_trained()
    optimizer = optim.make_optimizer(optimizer_config(settings))
    state = create_state(
        *(assembly.split.params, optimizer, assembly.family, assembly.mesh),
        offload=settings.optimizer.offload,
        donate=True,
    )
    loss = step.LossConfig(settings.train.z_loss, settings.train.label_smoothing)
    return state, step.jit_train_step(assembly.split.structure, optimizer, state, loss)


def due(number: int, every: int, steps: int) -> bool:
    """True at every `every`-th step and at the last; never where `every` is 0."""
    return every > 0 and (number % every == 0 or number == steps)


def open_cache(settings: Settings, assembly: Assembly, folder: Path) -> VisionCache | None:
    """The cache of the tower's features, where one is wanted.

    Raises:
      ConfigError: the tower is trained.
    """
    if not settings.model.cache_vision:
        return None
    if any(part_of(name) == "vision" for name in by_name(assembly.split.params)):
        raise ConfigError(
            "model.cache_vision: found True, but the tower is trained; wanted no 'vision' in "
            "lora.targets, or optimizer.vision_rate 0"
        )
    base, resolution = base_hash(settings, assembly), resolution_hash(assembly.vlm.processor)
    key = hash_json([base, resolution, settings.model.dtype])
    budget = Budget(0, max(patches for _, patches in settings.data.budgets))
    return VisionCache(folder / "vision_cache", assembly.vlm.model, key, budget)


def open_workdir(settings: Settings, assembly: Assembly, inputs: Input, workdir: Workdir) -> None:
    """Writes manifest, settings and packing plan into a new workdir, or checks an old one's.

    The first process writes; the others, once it has, check theirs against it.

    Raises:
      CheckpointError: it belongs to another run, or a process sees another folder or other parts.
    """
    parts, config = manifest(settings, assembly, inputs), to_dict(settings)
    if jax.process_index() == 0:
        parts.open(workdir.folder, config)
        inputs.keep_plan(workdir.folder / "packing_train.npz")
        workdir.send()
    multihost_utils.sync_global_devices("the workdir is open")
    if jax.process_index() > 0:
        workdir.bring()
        parts.check(workdir.folder)
        check_config(workdir.folder, config)


def open_checkpoints(settings: Settings, workdir: Workdir) -> Checkpointer:
    """The run's checkpoints."""
    return Checkpointer(
        workdir.home / CHECKPOINTS, every=settings.checkpoint_every, keep=settings.checkpoint_keep
    )


def open_metrics(settings: Settings, workdir: Workdir, enabled: bool) -> MetricsWriter:
    """Where the run's numbers go."""
    return MetricsWriter(
        workdir.folder,
        home=workdir.home,
        tensorboard=settings.tensorboard,
        wandb_project=settings.wandb_project,
        enabled=enabled,
    )


def read_metrics_row(
    out: dict[str, jax.Array], tokens: int, began: float, data_wait_s: float
) -> dict[str, Any]:
    """One row of metrics.jsonl; waits for the step that `began` to end."""
    row = {name: value.item() for name, value in jax.device_get(out).items()}
    step_s = time.perf_counter() - began
    return {
        **row,
        "tokens": tokens,
        "tokens_per_s": tokens / (step_s + data_wait_s),
        "step_s": step_s,
        "data_wait": data_wait_s / (step_s + data_wait_s),
    }


def not_finite(number: int, row: dict[str, Any], ids: list[list[str]]) -> str:
    """What the abort says."""
    named = ", ".join(record for line in ids for record in line)
    return (
        f"step {number}: loss {row['loss']}, gradient norm {row['grad_norm']}; wanted finite "
        f"numbers. Records of this step: {named}. The last good checkpoint is kept."
    )


def save(checkpoints: Checkpointer, state: TrainState, inputs: Input, force: bool) -> None:
    """Starts saving the state; the position in the data is one global row number."""
    number = int(state.step)
    trees = {"params": by_name(state.params), "optimizer": state.optimizer}
    checkpoints.save(number, trees, {"data": inputs.pipeline.state(number)}, force=force)
    if force:
        checkpoints.wait()


def restore(
    checkpoints: Checkpointer, state: TrainState, inputs: Input, clock: goodput.Clock
) -> TrainState:
    """The newest good checkpoint's state, or `state` where there is none."""
    trees = {"params": by_name(state.params), "optimizer": state.optimizer}
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), trees
    )
    with clock.on("checkpoint"):
        found = checkpoints.restore(abstract)
    if found is None:
        return state
    inputs.check_position(found.step, found.meta["data"])
    logging.info("resumed from step %d", found.step)
    number = jax.device_put(np.int32(found.step), state.step.sharding)
    params: nnx.State = replace(state.params, found.trees["params"])
    return TrainState(number, params, found.trees["optimizer"])


def main(settings: Settings, workdir: Workdir) -> bool:
    """Runs under `core.main`; whether training got to its end."""
    done = train(settings, workdir, goodput.age_of_process())
    if done:
        logging.info("done: %s", workdir)
    return done


if __name__ == "__main__":
    entry.run(main, distributed=True)
