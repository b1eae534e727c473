"""Checkpoints that are whole, verified, or refused.

    directory/<step>/params, optimizer, ...   one Orbax item a tree
    directory/<step>/meta                     the caller's meta, and of every leaf its shape, dtype
                                              and sha256; sealed by a sha256 of its own
    directory/damaged-<step>                  a step that failed its digests, set aside on resume

Orbax writes in the background and renames when all is there, so a killed run leaves whole steps and
nothing else. It does not notice a flipped bit, and it casts to another dtype without a word: the
digests and the layout in `meta` are for that.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from flax import traverse_util
from jax.experimental import multihost_utils

from vsfa_jax.core.errors import CheckpointError, StorageError
from vsfa_jax.core.tree import flatten
from vsfa_jax.core.workdir import is_url
from vsfa_jax.seal import DamagedError, compare_layout, digests, seal, unseal

_META = "meta"
_DAMAGED = "damaged-"
_TEMPORARY = ".orbax-checkpoint-tmp"
_SHOWN = 5  # names in one message
_SHOWN_LETTERS = 300  # of a library's message, which can be pages

# What Orbax, tensorstore and JAX raise at a file that is missing, cut or altered, and at a disk
# that is full. (jax.errors.JaxRuntimeError is a RuntimeError; a JSONDecodeError is a ValueError.)
_STORAGE_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)


@dataclasses.dataclass(frozen=True)
class Restored:
    """A verified checkpoint.

    Attributes:
      step: optimizer steps done when it was saved.
      trees: name -> pytree, in the structure and sharding that were asked for.
      meta: what the caller gave to `save`.
      digest: of the trees' leaves, a hash.
    """

    step: int
    trees: dict[str, Any]
    meta: dict[str, Any]
    digest: str


class Checkpointer:
    """Saves in the background, restores the newest good step. Use as a context manager."""

    def __init__(self, directory: epath.PathLike, *, every: int, keep: int = 3) -> None:
        """Opens or makes a checkpoint directory; removes what a killed run left unfinished.

        Args:
          directory: holds one folder a step; may be a URL, as gs://BUCKET/FOLDER.
          every: `save` keeps steps divisible by it; 0 keeps forced ones only.
          keep: newest steps that stay; two or more, or there is nothing to fall back to.

        Raises:
          CheckpointError: the path holds something else, or cannot be made.
          StorageError: here and in what follows, instead, where a URL cannot be written.
        """
        if every < 0 or keep < 1:
            raise ValueError(f"wanted every >= 0 and keep >= 1, found {every} and {keep}")
        self.directory = _whole(directory)
        self._every = every
        # A cloud that fails now may not fail later; a folder that cannot be written stays so.
        self._fault = StorageError if is_url(self.directory) else CheckpointError
        _refuse_foreign(self.directory)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=ocp.checkpoint_managers.LatestN(keep),
            create=True,
        )
        with _Faults(self._fault, f"{self.directory}: cannot be opened"):
            _remove_unfinished(self.directory)
            self._manager = ocp.CheckpointManager(self.directory, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except (CheckpointError, StorageError) as second:  # must not hide why the run ended
            logging.error("%s", second)

    def steps(self) -> list[int]:
        """Steps that are completely written, ascending."""
        return sorted(self._manager.all_steps())

    def is_due(self, step: int, force: bool = False) -> bool:
        """Whether `save` would save this step."""
        return force or (self._every > 0 and step % self._every == 0)

    def save(
        self,
        step: int,
        trees: Mapping[str, Any],
        meta: Mapping[str, Any],
        force: bool = False,
    ) -> bool:
        """Starts saving a step; the arrays may be donated as soon as this returns.

        Args:
          step: optimizer steps done; saved if divisible by `every`, or if forced.
          trees: name -> pytree of jax arrays; a name is a folder.
          meta: JSON, such as the position in the data.

        Returns:
          False if the step is not due or is already there.

        Raises:
          CheckpointError: this or the save before it failed, as on a full disk.
        """
        if not self.is_due(step, force):
            return False
        if step in self.steps():
            return False
        items = {name: ocp.args.StandardSave(_nested(tree)) for name, tree in trees.items()}
        items[_META] = ocp.args.JsonSave(seal(step, trees, meta))
        with _Faults(self._fault, f"{self.directory}: a checkpoint could not be written"):
            self._manager.check_for_errors()
            return bool(self._manager.save(step, args=ocp.args.Composite(**items), force=True))

    def restore(self, abstract: Mapping[str, Any], step: int | None = None) -> Restored | None:
        """Restores the newest step whose every leaf has the digest it was saved with.

        A damaged step is warned of and set aside, and the step before it is taken.

        Args:
          abstract: name -> pytree of jax.ShapeDtypeStruct with shardings, exactly the trees saved.
          step: only this one; then damage is an error.

        Returns:
          None if nothing was ever saved.

        Raises:
          CheckpointError: a leaf is missing, not wanted, of another shape or dtype; or no step is
            good.
        """
        self.wait()
        if not self.steps() and step is None:
            return None
        found, damaged = _restore_newest(self._manager, abstract, step, every_tree=True)
        self._set_aside(damaged)
        return found

    def wait(self) -> None:
        """Returns when the last save is on the disk.

        Raises:
          CheckpointError: it failed; the steps before it are as they were.
        """
        with _Faults(self._fault, f"{self.directory}: a checkpoint could not be written"):
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def close(self) -> None:
        """Waits, then lets the directory go.

        Raises:
          CheckpointError: the last save failed.
        """
        try:
            self.wait()
        finally:
            with _Faults(self._fault, f"{self.directory}: could not be closed"):
                self._manager.close()

    def _set_aside(self, damaged: list[int]) -> None:
        """Makes room, so that a damaged step can be saved again when training comes by it."""
        if not damaged:
            return
        if jax.process_index() == 0:
            for step in damaged:
                target = self.directory / f"{_DAMAGED}{step}"
                if target.exists():
                    target.rmtree()
                (self.directory / str(step)).rename(target)
        multihost_utils.sync_global_devices("damaged checkpoints set aside")
        self._manager.reload()


def restore_params(directory: epath.PathLike, abstract: Any, step: int | None = None) -> Restored:
    """Restores the tree "params" and nothing else; changes nothing in the directory.

    Args:
      directory: what a `Checkpointer` wrote.
      abstract: pytree of jax.ShapeDtypeStruct with shardings.
      step: only this one; otherwise the newest good one.

    Returns:
      `trees` holds "params" alone.

    Raises:
      CheckpointError: the directory is missing, foreign or empty, a leaf does not fit, or no step
        is good.
    """
    path = _whole(directory)
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint directory")
    _refuse_foreign(path)
    options = ocp.CheckpointManagerOptions(create=False, enable_async_checkpointing=False)
    with ocp.CheckpointManager(path, options=options) as manager:
        return _restore_newest(manager, {"params": abstract}, step, every_tree=False)[0]


def _restore_newest(
    manager: ocp.CheckpointManager,
    abstract: Mapping[str, Any],
    step: int | None,
    every_tree: bool,
) -> tuple[Restored, list[int]]:
    """The newest good step, and the damaged ones passed over on the way to it."""
    steps = sorted(manager.all_steps(), reverse=True)
    if step is not None:
        if step not in steps:
            raise CheckpointError(f"{manager.directory}: no step {step}; found {steps[::-1]}")
        return _read(manager, step, abstract, every_tree), []
    faults: dict[int, str] = {}
    for candidate in steps:
        try:
            return _read(manager, candidate, abstract, every_tree), list(faults)
        except DamagedError as error:
            logging.warning("%s; trying the step before it", error)
            faults[candidate] = str(error)
    listed = "\n  ".join(faults.values()) or "no step was ever saved"
    raise CheckpointError(f"{manager.directory}: no checkpoint can be restored\n  {listed}")


def _read(
    manager: ocp.CheckpointManager, step: int, abstract: Mapping[str, Any], every_tree: bool
) -> Restored:
    """One step, checked against its layout before and its digests after reading."""
    where = f"{manager.directory / str(step)}"
    sealed = _reading(manager, step, {_META: ocp.args.JsonRestore()}, where)[_META]
    document = unseal(sealed, step, where)
    saved = document["leaves"]
    _compare_names(where, list(abstract), list(saved), every_tree)
    for name, tree in abstract.items():
        _check_placed(name, tree)
        compare_layout(f"{where}/{name}", tree, saved[name])
    items = {name: ocp.args.StandardRestore(_nested(tree)) for name, tree in abstract.items()}
    raw = _reading(manager, step, items, where)
    trees = {}
    for name, tree in abstract.items():
        flat = traverse_util.flatten_dict(raw[name], sep="/")
        for leaf, found in digests(flat).items():
            if found != saved[name][leaf]["sha256"]:
                raise DamagedError(f"{where}/{name}: {leaf} is not what was saved (sha256 differs)")
        leaves = [flat[leaf] for leaf in flatten(tree)]
        trees[name] = jax.tree.unflatten(jax.tree.structure(tree), leaves)
    read = json.dumps({name: saved[name] for name in abstract}, sort_keys=True)
    return Restored(step, trees, document["meta"], hashlib.sha256(read.encode()).hexdigest())


def _reading(
    manager: ocp.CheckpointManager, step: int, items: dict[str, Any], where: str
) -> Mapping[str, Any]:
    """Orbax's own restore; whatever it cannot read is damage."""
    with _Faults(DamagedError, f"{where}: cannot be read"):
        return manager.restore(step, args=ocp.args.Composite(**items))


def _compare_names(where: str, wanted: list[str], found: list[str], every_tree: bool) -> None:
    """The trees themselves must be there, and on resume no others."""
    extra = set(found) - set(wanted) if every_tree else set()
    if set(wanted) - set(found) or extra:
        raise CheckpointError(f"{where}: holds {sorted(found)}, wanted {sorted(wanted)}")


def _check_placed(name: str, tree: Any) -> None:
    """Every leaf, scalars too, must be on the same devices, or the next step cannot run."""
    devices = set()
    for leaf, value in flatten(tree).items():
        if getattr(value, "sharding", None) is None:
            raise ValueError(f"{name}/{leaf}: wanted a ShapeDtypeStruct with a sharding")
        devices.add(frozenset(value.sharding.device_set))
    if len(devices) > 1:
        raise ValueError(f"{name}: its leaves are placed on different sets of devices")


def _whole(directory: epath.PathLike) -> epath.Path:
    """An absolute path; a URL is one, though pathlib would put a folder before it."""
    path = epath.Path(directory)
    return path if is_url(path) else path.absolute()


def _refuse_foreign(directory: epath.Path) -> None:
    """A folder that is not empty must hold steps."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: found a file, wanted a checkpoint directory")
    names = sorted(entry.name for entry in directory.iterdir())
    own = [n for n in names if n.isdigit() or n.startswith(_DAMAGED) or _TEMPORARY in n]
    if names and not own:
        raise CheckpointError(
            f"{directory}: not a checkpoint directory; found {', '.join(names[:_SHOWN])}, "
            "wanted folders named by step"
        )


def _remove_unfinished(directory: epath.Path) -> None:
    """Removes what a killed run was writing; Orbax's own option now and then leaves some of it."""
    if jax.process_index() == 0 and directory.exists():
        for entry in directory.iterdir():
            if _TEMPORARY in entry.name:
                entry.rmtree()


class _Faults:
    """Turns storage faults inside a `with` into an error of this program."""

    def __init__(self, error: type[CheckpointError | StorageError], what: str) -> None:
        self._error = error
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, ConnectionError | TimeoutError):
            return  # says nothing about what is stored
        # Orbax raises a bare Exception where tensorstore cannot read an array's data.
        if kind is Exception or isinstance(error, _STORAGE_ERRORS):
            first = f"{type(error).__name__}: {error}".splitlines()[0]
            raise self._error(f"{self._what}: {first[:_SHOWN_LETTERS]}") from error


def _nested(tree: Any) -> dict[str, Any]:
    """Plain dicts of dicts, which any Orbax reader understands."""
    return traverse_util.unflatten_dict(flatten(tree), sep="/")
