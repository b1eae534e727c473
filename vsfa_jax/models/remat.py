"""What a backward pass keeps of the forward pass, and what it computes again to save memory.

"none"        everything is kept
"matmuls"     results of matrix products and of attention; norms and activations again
"attention"   a block's input, and its attention's result, so that no score is computed twice
"blocks"      a block's input alone
"offload"     as "blocks", the inputs in the host's memory
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from vsfa_jax.kernels.attention import KEPT

POLICIES = ("none", "matmuls", "attention", "blocks", "offload")
_INPUT = "block_input"


def rematerialised(body: Callable[..., Any], policy: str) -> Callable[..., Any]:
    """A scan's body, carry first, that keeps what one of `POLICIES` says for the backward pass.

    Raises:
      ValueError: there is no such policy.
    """
    if policy == "none":
        return body
    save = jax.checkpoint_policies
    if policy == "offload":
        moved = save.save_and_offload_only_these_names(
            names_which_can_be_saved=[],
            names_which_can_be_offloaded=[_INPUT],
            offload_src="device",
            offload_dst="pinned_host",
        )
        return jax.checkpoint(_named(body), prevent_cse=False, policy=moved)
    policies = {
        "blocks": None,
        "attention": save.save_only_these_names(KEPT),
        "matmuls": save.save_from_both_policies(
            save.dots_with_no_batch_dims_saveable, save.save_only_these_names(KEPT)
        ),
    }
    if policy not in policies:
        raise ValueError(f"remat: found {policy!r}, wanted one of {POLICIES}")
    return jax.checkpoint(body, prevent_cse=False, policy=policies[policy])


def _named(body: Callable[..., Any]) -> Callable[..., Any]:
    """The body, its carry under the name that is offloaded."""

    def run(carry: Any, scanned: Any) -> Any:
        return body(jax.tree.map(lambda leaf: checkpoint_name(leaf, _INPUT), carry), scanned)

    return run


def set_remat(model: nnx.Module, language: str, vision: str) -> None:
    """Sets the policies of language model and tower, in place."""
    model.language.remat = language  # type: ignore[attr-defined]
    model.vision.remat = vision  # type: ignore[attr-defined]
