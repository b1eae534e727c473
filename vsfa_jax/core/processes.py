"""Several processes, one run: each finds the others, joins them, and ends with them.

Where they are is told by the launcher's variables, in this order:

    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID    all three: said outright
    JOBSET_NAME, REPLICATED_JOB_NAME, JOB_INDEX,                  a JobSet of Kubernetes; the number
    JOB_COMPLETION_INDEX                                          of hosts from TPU_WORKER_HOSTNAMES
                                                                  or JAX_NUM_PROCESSES
    TPU VMs, SLURM, Open MPI                                      found by jax itself
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import NoReturn

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from vsfa_jax.core.errors import ConfigError

MODES = ("auto", "on", "off")
HEARTBEAT_S = 20  # a process that was not heard of for so long is given up, and with it the run
_PATIENCE_S = HEARTBEAT_S + 10  # until the heartbeats have told which process is gone
PORT = 8476  # of the coordinator in a JobSet
_EXPLICIT = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_JOBSET = ("JOBSET_NAME", "REPLICATED_JOB_NAME", "JOB_INDEX", "JOB_COMPLETION_INDEX")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a process stands among those of its run.

    Attributes:
      coordinator: "host:port" of process 0.
      count: processes of the run.
      index: of this one, from 0.
    """

    coordinator: str
    count: int
    index: int


def join(mode: str) -> None:
    """Joins the other processes of the run; call it before anything is computed.

    Process 0 alone goes on to log what is not a warning. Where the others do not come, this
    process ends.

    Args:
      mode: "on", "off", or "auto", which is on where a cluster is found.

    Raises:
      ConfigError: none is found and the mode is "on", or its variables contradict each other.
    """
    if mode == "off":
        return
    place = find_place(os.environ)
    try:
        if place is None:
            jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT_S)
        else:
            jax.distributed.initialize(
                place.coordinator,
                place.count,
                place.index,
                cluster_detection_method="deactivate",
                heartbeat_timeout_seconds=HEARTBEAT_S,
            )
    except ValueError as error:
        if place is not None or "coordinator_address" not in str(error):
            raise ConfigError(f"--distributed={mode}: {error}") from error
        if mode == "on":
            raise ConfigError(
                "--distributed=on: found no TPU pod, SLURM, Open MPI or JobSet; wanted one, or "
                f"all of {', '.join(_EXPLICIT)}"
            ) from error
        return
    except RuntimeError as error:  # what is half begun cannot be taken back
        print(f"error: --distributed={mode}: the processes do not meet: {error}", file=sys.stderr)
        end(2)
    sys.excepthook = _end_at_once
    if jax.process_index() > 0:
        logging.set_verbosity(logging.WARNING)
    logging.info("%d processes, %d devices", jax.process_count(), jax.device_count())


def find_place(environment: Mapping[str, str]) -> Place | None:
    """What the launcher's variables say outright; None leaves the search to jax.

    Raises:
      ConfigError: some of the variables are there and others, or their sense, are missing.
    """
    if any(name in environment for name in _JOBSET[:2]):
        return _jobset_place(environment)
    if not any(name in environment for name in _EXPLICIT[1:]):
        return None
    _want(environment, _EXPLICIT)
    count, index = (_number(environment, name) for name in _EXPLICIT[1:])
    return _checked(Place(environment[_EXPLICIT[0]], count, index))


def _jobset_place(environment: Mapping[str, str]) -> Place:
    """Jobs are slices, pods are hosts; pod 0 of job 0 is the coordinator, by its own name."""
    _want(environment, _JOBSET)
    name, group = environment["JOBSET_NAME"], environment["REPLICATED_JOB_NAME"]
    job, pod = _number(environment, "JOB_INDEX"), _number(environment, "JOB_COMPLETION_INDEX")
    if "TPU_WORKER_HOSTNAMES" in environment:
        hosts = len(environment["TPU_WORKER_HOSTNAMES"].split(","))
        pod = _number(environment, "TPU_WORKER_ID")
        count = hosts * _number(environment, "MEGASCALE_NUM_SLICES", "1")
    else:
        _want(environment, ("JAX_NUM_PROCESSES",))
        hosts = count = _number(environment, "JAX_NUM_PROCESSES")
    coordinator = f"{name}-{group}-0-0.{name}:{PORT}"
    coordinator = environment.get("JAX_COORDINATOR_ADDRESS", coordinator)
    return _checked(Place(coordinator, count, job * hosts + pod))


def _want(environment: Mapping[str, str], names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in environment]
    if missing:
        found = [name for name in (*_JOBSET, *_EXPLICIT) if name in environment]
        raise ConfigError(f"--distributed: found {', '.join(found)}, but no {', '.join(missing)}")


def _number(environment: Mapping[str, str], name: str, default: str = "") -> int:
    value = environment.get(name, default)
    if not value.isdecimal():
        raise ConfigError(f"--distributed: {name} is {value!r}, wanted a number")
    return int(value)


def _checked(place: Place) -> Place:
    if place.index >= place.count:
        raise ConfigError(f"--distributed: process {place.index} of {place.count}; wanted one less")
    return place


def from_first(text: str) -> str:
    """What the first process gives, on every process; all of them must call it."""
    data = np.frombuffer(text.encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
    if jax.process_index() > 0:
        data = np.zeros(length, np.uint8)
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(data), np.uint8)).decode()


def lost_a_peer(error: jax.errors.JaxRuntimeError) -> NoReturn:
    """Ends this process after what is mostly the end of another, and lets jax say of which.

    A collective fails at once where a connection breaks; the heartbeats tell only later which
    process it was, and jax then ends this one with that name.
    """
    said = str(error).splitlines()[0]
    me = f"process {jax.process_index()} of {jax.process_count()}"
    print(f"error: {me}: {said}", file=sys.stderr)
    print(f"{me}: asking for {_PATIENCE_S} s whether another one is gone", file=sys.stderr)
    sys.stderr.flush()
    time.sleep(_PATIENCE_S)
    end(1)


def leave() -> None:
    """Waits for the others to come to their end too; process 0 must not go before them."""
    jax.distributed.shutdown()


def end(status: int) -> NoReturn:
    """Ends this process without waiting for others, which would wait for it; they end with it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end_at_once(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What an error that nobody expected comes to in a run of several processes."""
    traceback.print_exception(kind, error, trace)
    end(1)
