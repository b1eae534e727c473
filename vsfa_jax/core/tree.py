"""Pytrees by readable name: {"0/mu/language/norm/scale": array}."""

from __future__ import annotations

from typing import Any

import jax


def flatten(tree: Any) -> dict[str, Any]:
    """Leaves by path, in the order of the tree.

    Works on anything that is a pytree: dicts, modules, states, an optimizer's state. The box
    around a module's variable is not part of a name.

    Args:
      tree: any pytree of arrays, shapes or scalars; None is no leaf.

    Returns:
      "a/b/c" -> leaf.

    Raises:
      ValueError: two leaves have the same name (a key holds a slash).
    """
    named: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if path and path[-1] == jax.tree_util.GetAttrKey("value"):
            path = path[:-1]
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in named:
            raise ValueError(f"two leaves are named {name!r}")
        named[name] = leaf
    return named
