"""Model FLOPs of a step: what its definition asks for, however it is computed.

    forward    2 for each weight and token, 4 N H for each pair that attention looks at
    backward   as much again for a gradient that passes on, and again for a weight's own

A frozen weight that a gradient passes through has the first, a frozen tower before all that is
trained has neither. Nothing is counted twice that is computed again to save memory, and no
arithmetic but that of matrix products; of DoRA, not the norms of its columns.
Source: PaLM, arXiv 2204.02311, appendix B, there for a model that is trained as a whole.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vsfa_jax.lora import linears
from vsfa_jax.models.linear import Linear
from vsfa_jax.planning.assumptions import attention_pairs, window_patches

VISION, PROJECTOR, LANGUAGE, HEAD = "vision", "projector", "language", "head"
ATTENTION = "attention"


@dataclasses.dataclass(frozen=True)
class Load:
    """What a step works on, all rows together.

    Attributes:
      tokens: that the language model computes.
      trained: tokens that the head reads.
      text_pairs: pairs of a query and a key that a head of a layer looks at.
      patches: that the tower computes, class tokens included.
      image_pairs: pairs of patches of one image or tile.
      window_pairs: pairs of patches of one window, of layers that see no more.
      runs_tower: False where what it says is kept from before.
    """

    tokens: int
    trained: int
    text_pairs: float
    patches: int
    image_pairs: float
    window_pairs: float = 0.0
    runs_tower: bool = True


def full_load(config: Any, rows: int, tokens: int, patches: int, trained: int) -> Load:
    """Rows that are full, each of one conversation with one image: the most work there can be.

    Args:
      config: a family's.
      rows: of the batch, over all micro-batches and devices.
      tokens: T of a row.
      patches: P of a row.
      trained: tokens of a row.
    """
    return packed_load(config, rows * trained, [tokens] * rows, [patches] * rows)


def packed_load(config: Any, trained: int, texts: Sequence[int], images: Sequence[int]) -> Load:
    """Conversations and images of these lengths; padding is not counted.

    Args:
      config: a family's.
      trained: tokens of all conversations.
      texts: tokens of each conversation.
      images: patches of each image or tile.
    """
    window = config.text.window
    longest = window_patches(config)
    return Load(
        tokens=sum(texts),
        trained=trained,
        text_pairs=sum(causal_pairs(length, window) for length in texts),
        patches=sum(images),
        image_pairs=sum(attention_pairs(n, n, causal=False) for n in images),
        window_pairs=sum(attention_pairs(n, n, causal=False, longest=longest) for n in images)
        if longest
        else 0.0,
    )


def causal_pairs(tokens: int, window: int | None) -> float:
    """Pairs of a query and a key of one conversation; a query sees `window` tokens to its left."""
    if window is None or window >= tokens:
        return attention_pairs(tokens, tokens, causal=True)
    return attention_pairs(tokens, tokens, causal=True) - attention_pairs(
        tokens - window - 1, tokens - window - 1, causal=True
    )


@dataclasses.dataclass(frozen=True)
class Passes:
    """FLOPs of the forward and the backward pass."""

    forward: float = 0.0
    backward: float = 0.0

    @property
    def total(self) -> float:
        """Of both."""
        return self.forward + self.backward

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.backward + other.backward)


def model_flops(model: Any, trained: Collection[str], load: Load) -> dict[str, Passes]:
    """FLOPs of one step by part: vision, projector, language, head, and attention of two of them.

    Args:
      model: a family's, with adapters if it has such; shapes in place of arrays will do.
      trained: names of the parameters that are trained, as `parameters.by_name` gives them; none
        for a forward pass alone.
      load: what it works on.
    """
    parts: dict[str, Passes] = {}
    for name, layer in linears(model):
        part, times = _place(model, name, load)
        found = _linear(layer, _sizes(model, name, layer), name, trained, times)
        parts[part] = parts.get(part, Passes()) + found
    if model.config.text.tied_head:
        weights = 2.0 * math.prod(model.language.embedding.shape) * load.trained
        backward = passes_on("language/head", trained) + ("language/embedding" in trained)
        parts[HEAD] = Passes(weights, weights * backward)
    text, blocks = model.config.text, model.config.vision.blocks
    size = text.num_heads * text.head_size * text.num_layers
    parts[f"{LANGUAGE} {ATTENTION}"] = _attention(size * load.text_pairs, LANGUAGE, trained)
    looked_at = blocks.width * _image_pairs(model.config.vision, load)
    parts[f"{VISION} {ATTENTION}"] = _attention(looked_at, VISION, trained)
    return parts


def total(parts: Mapping[str, Passes]) -> Passes:
    """The sum of all parts."""
    return sum(parts.values(), Passes())


def _place(model: Any, name: str, load: Load) -> tuple[str, int]:
    """The part that a layer belongs to, and how many inputs each of its matrices has."""
    vision = model.config.vision
    first = name.split("/")[0]
    if first == "vision":
        return VISION, load.patches if load.runs_tower else 0
    if name == "language/head":
        return HEAD, load.trained
    if first == "language":
        return LANGUAGE, load.tokens
    return PROJECTOR, load.patches // getattr(vision, "merge", 1) ** 2


def _sizes(model: Any, name: str, layer: Linear) -> tuple[int, int, int]:
    """Matrices of a layer that are used, their inputs' size and their outputs'."""
    *stack, features_in, features_out = layer.kernel.shape
    vision = model.config.vision
    if name == "vision/patch_embedding":  # its frames are added up first
        features_in //= getattr(vision, "frames", 1)
    if name.startswith("vision/layers/"):
        stack = [_num_layers(vision)]
    return math.prod(stack), features_in, features_out


def _num_layers(vision: Any) -> int:
    """Layers of a tower that run."""
    return getattr(vision, "num_used_layers", vision.blocks.num_layers)


def _linear(
    layer: Linear,
    sizes: tuple[int, int, int],
    name: str,
    trained: Collection[str],
    times: int,
) -> Passes:
    """One linear layer, stacked or not, with its adapter, over `times` inputs."""
    matrices, features_in, features_out = sizes
    count = matrices * times
    moves = passes_on(name, trained)
    weights = 2.0 * count * features_in * features_out
    found = Passes(weights, weights * (moves + (f"{name}/kernel" in trained)))
    if layer.adapter is None:
        return found
    down = 2.0 * count * features_in * layer.adapter.a.shape[-1]
    up = 2.0 * count * features_out * layer.adapter.a.shape[-1]
    if f"{name}/adapter/a" in trained:
        return found + Passes(down + up, 2 * up + down + down * moves)
    return found + Passes(down + up, (down + up) * moves)


def passes_on(name: str, trained: Collection[str]) -> bool:
    """Whether the backward pass needs the gradient by a linear layer's input.

    It does if anything is trained that the input comes from. Layers stand for all of their stack:
    of the first one the gradient by its input is counted too, which nobody may need.
    """
    first, _, rest = name.partition("/")
    before: list[str] = ["vision/"]
    if first == "language":
        before += ["projector/", "deepstack/", "image_newline", "language/embedding"]
        before += ["language/layers/", *(["language/norm/"] if rest == "head" else [])]
    elif first != "vision":
        own = ("norm/",) if rest == "up_proj" else ("norm/", "up_proj/")
        before += [f"{first}/{part}" for part in own]
    elif rest == "patch_embedding":
        before = []
    return any(each.startswith(tuple(before)) for each in trained)


def _image_pairs(vision: Any, load: Load) -> float:
    """Pairs that a head looks at in all layers of a tower."""
    if not load.runs_tower:
        return 0.0
    full = len(getattr(vision, "full_layers", range(_num_layers(vision))))
    return full * load.image_pairs + (_num_layers(vision) - full) * load.window_pairs


def _attention(looked_at: float, part: str, trained: Collection[str]) -> Passes:
    """Scores and their sums of values: two products forward, four backward."""
    stage = f"{part}/layers/o_proj"
    return Passes(4.0 * looked_at, 8.0 * looked_at * passes_on(stage, trained))
