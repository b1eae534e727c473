"""What a run was made from, as hashes: the manifest of an assembled model and its data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax

from vsfa_jax import __version__
from vsfa_jax.assemble import Assembly
from vsfa_jax.core.config import Settings, load
from vsfa_jax.input import Input, resolution_hash, template_hash
from vsfa_jax.manifest import Manifest, hash_code, hash_files, hash_json, read_config
from vsfa_jax.models.hub import commit_of


def manifest(settings: Settings, assembly: Assembly, inputs: Input | None) -> Manifest:
    """One hash a part; `inputs` is None where no training data is at hand, as in evaluation."""
    details: dict[str, Any] = {
        "version": __version__,
        "jax": jax.__version__,
        "family": assembly.vlm.family,
        "revision": commit_of(assembly.vlm.directory),
        "adapted": assembly.adapted,
    }
    if inputs is not None:
        details["records"] = len(inputs.source)
        details["dropped"] = len(inputs.plan.dropped)
    return Manifest(
        data="" if inputs is None else inputs.source.fingerprint,
        packing="" if inputs is None else inputs.plan.hash,
        template=template_hash(assembly.vlm.processor),
        resolution=resolution_hash(assembly.vlm.processor),
        base_weights=base_hash(settings, assembly),
        code=hash_code(),
        details=details,
    )


def settings_of_run(settings: Settings, workdir: Path) -> Settings:
    """What the run was trained with, so that it need not be said again to evaluate or export it.

    The command's own are where the base lies and its dtype, the mesh and the evaluation; another
    base is refused by `check_workdir`. A command whose model.path is "" has the run's base and
    dtype.

    Raises:
      CheckpointError: it is no run's workdir.
      ConfigError: its settings are of another version of the program.
    """
    run = load(read_config(workdir))
    said = settings.model if settings.model.path else run.model
    is_other = said.revision or said.path != run.model.path
    revision = said.revision if is_other else run.model.revision
    model = dataclasses.replace(run.model, path=said.path, dtype=said.dtype, revision=revision)
    own = ("mesh", "eval", "judge", "probe", "study", "compile_cache")
    kept = {name: getattr(settings, name) for name in own}
    return dataclasses.replace(run, model=model, **kept)


def check_workdir(settings: Settings, assembly: Assembly, workdir: Path) -> Manifest:
    """Refuses a workdir whose base, template or resolution are not this assembly's.

    Returns:
      The assembly's own.

    Raises:
      CheckpointError: they differ, or it is no run's workdir.
    """
    own = manifest(settings, assembly, None)
    own.check(workdir, for_evaluation=True)
    return own


def base_hash(settings: Settings, assembly: Assembly) -> str:
    """The base model: its config and weights, or its config and the seed it is drawn from."""
    directory = assembly.vlm.directory
    config = hash_files([directory / "config.json"])
    if settings.model.completed_from:
        config = hash_json([config, settings.model.completed_from])
    if settings.model.init == "random":
        return hash_json([config, "random", settings.seed])
    return hash_json([config, hash_files(directory.glob("*.safetensors"))])
