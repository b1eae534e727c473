"""Devices of a TPU slice that is not there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Sequence

import jax
from jax.experimental import topologies

from vsfa_jax.core.errors import ConfigError

# The compiler looks for no TPU, and several of its processes may run at once.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # else a second one ends at a lock file
    "TPU_WORKER_HOSTNAMES": "localhost",
}
_NAME = re.compile(r"[a-z0-9]+:\d+x\d+(x\d+)?")
_EXAMPLES = "v5e:2x4, v6e:2x2, v5p:2x2x1, tpu7x:2x2x1"


def prepare_environment() -> None:
    """Leaves every accelerator alone; to be called before the first use of jax's devices."""
    jax.config.update("jax_platforms", "cpu")
    # a kernel's code names the files it was traced through: without their folder it is the same
    # program wherever this repository lies
    jax.config.update("jax_hlo_source_file_canonicalization_regex", "^.*/")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def devices(topology: str, num_slices: int = 1) -> Sequence[jax.Device]:
    """The devices of `num_slices` slices of a topology such as "v6e:2x2".

    Raises:
      ConfigError: libtpu is not installed, or knows no such topology.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise ConfigError(
            "plan: libtpu, the TPU's compiler, is not installed; `pip install libtpu` beside jax, "
            "on Linux and x86_64; no TPU is needed"
        )
    if not _NAME.fullmatch(topology):
        raise ConfigError(f"--topology: found {topology!r}, wanted one like {_EXAMPLES}")
    if num_slices < 1:
        raise ConfigError(f"--num_slices: found {num_slices}, wanted at least 1")
    more = {"num_slices": num_slices} if num_slices > 1 else {}
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=topology, **more)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        said = str(error).splitlines()[0]
        raise ConfigError(
            f"--topology: {topology!r} is none that libtpu knows ({said}); wanted one like "
            f"{_EXAMPLES}"
        ) from error
    return list(found.devices)


def versions() -> str:
    """Of what a plan depends on."""
    return f"jax {jax.__version__}, libtpu {importlib.metadata.version('libtpu')}"
