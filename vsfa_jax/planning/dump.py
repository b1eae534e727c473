"""A compiled program's text where JAX cannot give it.

jaxlib cannot read every program that its libtpu writes: one that hands a gather to v6e's SparseCore
makes `as_text()` fail with "async-update instruction should have 1 operands". libtpu itself writes
the same text to a folder, if it is told so before it is loaded.
"""

from __future__ import annotations

from pathlib import Path

import jax

from vsfa_jax.planning.hlo import HloError

_SUFFIX = "-TLP-hlo.txt"


def flags(folder: Path) -> str:
    """What the variable LIBTPU_INIT_ARGS must hold for programs to be written to `folder`."""
    wanted = ("dump_hlo_text=true", "dump_category_filter=program", f"dump_to={folder}")
    return " ".join(f"--xla_jf_{each}" for each in wanted)


def text_of(compiled: jax.stages.Compiled, folder: Path) -> str:
    """The text of a program that was compiled last, from JAX if it can and else from `folder`.

    Raises:
      HloError: neither has it.
    """
    try:
        text = compiled.as_text()
    except jax.errors.JaxRuntimeError as error:
        written = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)
        if not written:
            raise HloError(f"{folder}: found no *{_SUFFIX}; as_text() failed: {error}") from error
        return written[-1].read_text()
    if text is None:
        raise HloError("as_text: found None, wanted a compiler that gives a program's text")
    return text
