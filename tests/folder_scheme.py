"""folder://PATH, a scheme by which a folder of this machine stands for one in a cloud.

Run as a script: the command that VSFA_COMMAND names, with its --workdir in that scheme.
"""

from __future__ import annotations

import importlib
import os
import sys

from etils import epath

from vsfa_jax.core import main as entry

SCHEME = "folder://"


@epath.register_path_cls(SCHEME)
class Folder:
    """What etils is to make of such a URL: the folder's own path."""

    def __new__(cls, url: str) -> epath.Path:  # type: ignore[misc]
        return epath.Path(url.removeprefix(SCHEME))


if __name__ == "__main__":
    command = importlib.import_module(f"vsfa_jax.{os.environ['VSFA_COMMAND']}")
    sys.argv = [word.replace("--workdir=", f"--workdir={SCHEME}") for word in sys.argv]
    entry.run(command.main, distributed=True)
