"""The edge of every command: flags in, `error: ...` and an exit status out, no traceback."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from logging import WARNING, LogRecord
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from vsfa_jax.core import config, processes
from vsfa_jax.core import schema as schemas
from vsfa_jax.core.errors import ConfigError, StoppedError, TrainingError, UserError
from vsfa_jax.core.workdir import Workdir, is_url

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parent
_LEAST_COMPILE_S = 0.5  # what compiles faster is not kept


def run(
    main: Callable[..., bool | None],
    holders: Mapping[str, flags.FlagHolder] | None = None,
    distributed: bool = False,
    workdir_is_optional: bool = False,
    schema: type | None = None,
) -> None:
    """Parses the command line and calls `main`; ends the process.

    Without `holders` the command is one of a run: it takes --config and --workdir, and main gets
    (settings: Settings, workdir: Path); None for a workdir that is optional and not given. With
    them, main gets their values by name; with a `schema` it takes --config too, of that kind, and
    main gets the settings first. With `distributed` it may be one of several processes of a
    run: it takes --distributed and --stopped_status, and main gets a Workdir, which may be in a
    cloud; main returns False where a signal stopped it.

    Exit status: 0, 1 for a run that cannot go on now, 2 for a fault of the user's input.
    """
    if holders is None or schema is not None:
        config_flags.DEFINE_config_file("config", help_string="A file of configs/.")
        flags.mark_flag_as_required("config")
        _show_in_help("config")
    if holders is None:
        flags.DEFINE_string("workdir", None, "Folder of the run; made if need be.")
        if not workdir_is_optional:
            flags.mark_flag_as_required("workdir")
        _show_in_help("workdir")
    if distributed:
        flags.DEFINE_enum("distributed", "auto", processes.MODES, "Whether to look for a cluster.")
        flags.DEFINE_integer(
            "stopped_status",
            0,
            "Exit status where a signal stopped it; with 0 an evaluation, which has no table then, "
            "ends with 1.",
            lower_bound=0,
            upper_bound=255,
        )
        _show_in_help("distributed", "stopped_status")
    if holders is not None:
        _show_in_help(*(holder.name for holder in holders.values()))
    app.run(
        lambda _: _call(main, holders, distributed, schema),
        flags_parser=functools.partial(_parse, schema=schema or config.Settings),
    )


def _call(
    main: Callable[..., bool | None],
    holders: Mapping[str, flags.FlagHolder] | None,
    distributed: bool,
    schema: type | None,
) -> int:
    """Runs `main`; its faults become one line and an exit status."""
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().addFilter(_is_worth_showing)
    status = 0
    try:
        if holders is not None:
            given: list[object] = (
                [] if schema is None else [schemas.load(flags.FLAGS.config, schema)]
            )
            main(*given, **{name: holder.value for name, holder in holders.items()})
        elif distributed:
            status = _call_one_of_several(main)
        else:
            settings, workdir = config.load(flags.FLAGS.config), _folder(flags.FLAGS.workdir)
            _keep_programs(settings.compile_cache)
            import_transformers_alone()
            main(settings, workdir)
    except UserError as error:
        return _fail(error, 2)
    except (TrainingError, ConnectionError, TimeoutError) as error:
        return _fail(error, 1)
    except OSError as error:  # a full disk, a file where a folder is wanted, no permission
        return _fail(error, 2)
    except jax.errors.JaxRuntimeError as error:
        if not jax.distributed.is_initialized():
            raise
        processes.lost_a_peer(error)
    if jax.distributed.is_initialized():
        processes.leave()
    return status


def _call_one_of_several(main: Callable[..., bool | None]) -> int:
    """Joins the others and runs `main` in the workdir, wherever that is; the exit status."""
    settings, place = config.load(flags.FLAGS.config), flags.FLAGS.workdir
    workdir = Workdir(place if is_url(place) else _folder(place) or "")
    _keep_programs(settings.compile_cache)
    processes.join(flags.FLAGS.distributed)
    import_transformers_alone()
    stopped = int(flags.FLAGS.stopped_status)
    try:
        with workdir:
            workdir.bring()
            return stopped if main(settings, workdir) is False else 0
    except StoppedError as error:  # all processes are, at the same place: none need be ended
        print(f"error: {error}", file=sys.stderr)
        return stopped or 1


def _keep_programs(directory: str) -> None:
    """Lets jax keep what it compiles, so that a run which starts again need not compile again."""
    if directory:
        jax.config.update("jax_compilation_cache_dir", directory)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_COMPILE_S)


def _folder(workdir: str | None) -> Path | None:
    if workdir is None:
        return None
    if is_url(workdir):
        raise ConfigError(
            f"--workdir: found {workdir}, wanted a folder of this machine: only train and evaluate "
            "work in a cloud"
        )
    path = Path(workdir)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--workdir: found a file at {path}, wanted a folder or a new path")
    return path


def import_transformers_alone() -> None:
    """Imports transformers as where PyTorch is not installed.

    It would import PyTorch wherever it finds it: seconds and memory that no command has a use for.
    What it found at its import it remembers.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    hidden = [name for name in ("torch", "tensorflow") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        importlib.import_module("transformers")
    finally:
        for name in hidden:
            del sys.modules[name]


def _fail(error: object, status: int) -> int:
    """Says what went wrong; where others wait for this process, ends it here and now."""
    if jax.distributed.is_initialized():
        index = jax.process_index()
        print("error:", f"process {index}: {error}" if index else error, file=sys.stderr)
        processes.end(status)
    print(f"error: {error}", file=sys.stderr)
    return status


def _parse(arguments: Sequence[str], schema: type) -> list[str]:
    """absl's parser, with faults in our words."""
    try:
        arguments = _find_config(arguments)
        rest: list[str] = flags.FLAGS(arguments)
    except (KeyError, AttributeError):
        unknown = _unknown_key(arguments, schemas.keys(schema))
        if unknown is None:
            raise
        sys.exit(_fail(unknown, 2))
    except (flags.Error, ConfigError, ValueError) as error:
        sys.exit(_fail(error, 2))
    if rest[1:]:
        sys.exit(_fail(f"unexpected argument {rest[1]!r}; flags begin with --", 2))
    return rest


def _find_config(arguments: Sequence[str]) -> list[str]:
    """Makes --config a file that exists: as given, or from the repository's root.

    The root of the file's repository joins the import path, for a config starts from another.

    Raises:
      ConfigError: there is no such file.
    """
    arguments = list(arguments)
    for number, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name.lstrip("-") != "config" or not argument.startswith("-"):
            continue
        place = number if value else number + 1
        value = value or "".join(arguments[place : place + 1])
        found = next((p for p in (Path(value), REPOSITORY / value) if p.is_file()), None)
        if found is None or found.suffix != ".py":
            raise ConfigError(f"--config: no file {value!r}; wanted one like configs/tiny.py")
        arguments[place] = f"{name}={found}" if place == number else str(found)
        sys.path.insert(0, str(found.resolve().parents[1]))
    return arguments


def _unknown_key(arguments: Sequence[str], known: Sequence[str]) -> ConfigError | None:
    """The first --config.KEY that is not among the known ones."""
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0].removeprefix("no")
        key = name.removeprefix("config.")
        if argument.startswith("-") and key not in (name, *known):
            return ConfigError(f"--config.{key}: no such key{schemas.nearest(key, known)}")
    return None


def _show_in_help(*names: str) -> None:
    """Lists the flags under --help."""
    for name in names:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


def _is_worth_showing(record: LogRecord) -> bool:
    """Our own lines and everybody's warnings."""
    return record.levelno >= WARNING or Path(record.pathname).is_relative_to(PACKAGE)
