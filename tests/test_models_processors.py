"""The host side against transformers: placeholders, positions, pixels, and places of patches.

Every family is opened twice: as `tiny_checkpoints` makes it, and with the numbers of its published
checkpoints.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
from PIL import ExifTags, Image
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    LlavaNextProcessor,
    LlavaProcessor,
    Qwen2_5_VLProcessor,
    Qwen3VLProcessor,
)
from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from vsfa_jax import models
from vsfa_jax.core.errors import ConfigError, DataError
from vsfa_jax.data.batch import NEWLINE
from vsfa_jax.data.images import decode_image, image_size
from vsfa_jax.data.record import Message, Record
from vsfa_jax.models.llava_next.processor import best_pinpoint
from vsfa_jax.models.qwen2_5_vl.processor import window_order

FAMILIES = sorted(tiny.MAKERS)
QWEN = [family for family in FAMILIES if family.startswith("qwen")]
LLAVA = [family for family in FAMILIES if family.startswith("llava")]
SCALES = ("tiny", "real")
SIDES = {"tiny": (1, 130), "real": (31, 6000)}  # of random images, so that no aspect is over 200
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 1 / 255,
}
SQUARE = {**CLIP, "size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
MERGED = {"temporal_patch_size": 2, "merge_size": 2}
REAL_IMAGES = {
    "llava": {**SQUARE, "image_processor_type": "CLIPImageProcessor"},
    "llava_next": {
        **SQUARE,
        "image_grid_pinpoints": PINPOINTS,
        "image_processor_type": "LlavaNextImageProcessor",
    },
    "qwen2_5_vl": {
        **{**CLIP, **MERGED, "patch_size": 14, "min_pixels": 3136, "max_pixels": 12845056},
        "image_processor_type": "Qwen2VLImageProcessor",
    },
    "qwen3_vl": {
        **{**MERGED, "patch_size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        "size": {"longest_edge": 16777216, "shortest_edge": 65536},
        "image_processor_type": "Qwen2VLImageProcessorFast",
    },
}
REAL_VISION = {
    "llava": {"image_size": 336, "patch_size": 14},
    "llava_next": {"image_size": 336, "patch_size": 14},
    "qwen2_5_vl": {"patch_size": 14, "window_size": 112},
    "qwen3_vl": {"patch_size": 16, "num_position_embeddings": 2304},
}


class WithoutVideos:
    """Lets a Qwen processor have no video half, which would want torchvision."""

    def check_argument_for_proper_class(self, name, argument):
        return type(argument)


class Qwen25Images(WithoutVideos, Qwen2_5_VLProcessor):
    """Transformers' own on images and text."""


class Qwen3Images(WithoutVideos, Qwen3VLProcessor):
    """Transformers' own on images and text."""


THEIRS = {
    "llava": LlavaProcessor,
    "llava_next": LlavaNextProcessor,
    "qwen2_5_vl": Qwen25Images,
    "qwen3_vl": Qwen3Images,
}


@dataclasses.dataclass(frozen=True)
class Pair:
    """A checkpoint as we open it and as transformers does: our processor, its processor, model."""

    directory: Path
    family: str
    ours: Any
    theirs: Any
    model: Any

    @property
    def images(self):
        return self.theirs.image_processor

    @property
    def vision(self):
        return self.model.config.vision_config


def open_pair(family, scale, directory):
    tiny.write(family, directory)
    if scale == "real":
        enlarge(family, directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    images = AutoImageProcessor.from_pretrained(directory, backend="pil")
    model = AutoModelForImageTextToText.from_pretrained(directory)
    more = {}
    if family in LLAVA:
        more = {
            "patch_size": model.config.vision_config.patch_size,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        }
    template = (directory / "chat_template.jinja").read_text()
    theirs = THEIRS[family](images, tokenizer, chat_template=template, **more)
    return Pair(directory, family, models.load(directory).processor, theirs, model)


def enlarge(family, directory):
    """Gives a tiny checkpoint the resolutions of a published one."""
    config, settings = AutoConfig.from_pretrained(directory), REAL_IMAGES[family]
    for name, value in REAL_VISION[family].items():
        setattr(config.vision_config, name, value)
    if family == "llava_next":
        config.image_grid_pinpoints = PINPOINTS
    AutoModelForImageTextToText.from_config(config).save_pretrained(directory)
    (directory / "preprocessor_config.json").write_text(json.dumps(settings))


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory):
    return functools.cache(
        lambda family, scale: open_pair(family, scale, tmp_path_factory.mktemp(family) / scale)
    )


@pytest.fixture
def pair(pair_of, family, scale):
    return pair_of(family, scale)


everywhere = pytest.mark.parametrize("scale", SCALES)
all_families = pytest.mark.parametrize("family", FAMILIES)
qwen_families = pytest.mark.parametrize("family", QWEN)
llava_next = pytest.mark.parametrize("family", ["llava_next"])


def random_sizes(scale, count=200, most=None, seed=0):
    """Widths and heights, as many small as large ones."""
    least, bound = SIDES[scale]
    sides = np.random.default_rng(seed).uniform(np.log(least), np.log(most or bound), (count, 2))
    return [(int(width), int(height)) for width, height in np.exp(sides)]


def small_sizes(most):
    """Every one up to a square."""
    return [(width, height) for width in range(1, most) for height in range(1, most)]


def qwen_edges(images):
    """Both sides of every rounding: multiples, half ways, the least and the most pixels."""
    factor = images.patch_size * images.merge_size
    middles = (-factor, -factor // 2, 0, factor // 2, factor)
    near = [middle + step for middle in middles for step in (-1, 0, 1)]
    sizes = [(1, 1), (1, 200), (200, 1), (2, 399), (1000, 5)]
    for side in (times * factor + step for times in (1, 2, 3, 6) for step in near):
        sizes += [(side, 3 * factor), (3 * factor, side), (side, side)]
    for limit in (images.size["shortest_edge"], images.size["longest_edge"]):
        root = math.isqrt(limit)
        for step in near:
            sizes += [(root + step, root), (root, root + step), (root + step, root + step)]
            sizes += [(side, limit // side + step) for side in (root // 3, 2 * root, 3 * root)]
            sizes += [(2 * root + step, 2 * root), (4 * root, root + step)]
    return [size for size in sizes if 0 < max(size) <= 200 * min(size)]


def next_edges(pair):
    """About the tiles' own sizes; and where floats fall short of a whole number of lines."""
    tile = pair.vision.image_size
    sides = [times * tile + step for times in (1, 2, 3) for step in (-1, 0, 1)]
    sizes = [(width, height) for width in sides for height in sides]
    per_tile = tile // pair.vision.patch_size
    wide = [sides for times in (1, 2, 3) for sides in fall_short(times * per_tile)]
    return [*sizes, *wide, *((width, height) for height, width in wide)]


def fall_short(patches, most=200):
    """(width, height) whose height in patches is whole, though its float lies below."""
    return [
        (width, height)
        for width, height in small_sizes(most)
        if height * patches % width == 0
        and int(height * (patches / width)) * width < height * patches
    ]


def edges(pair):
    if pair.family in QWEN:
        return qwen_edges(pair.images)
    if pair.family == "llava_next":
        return next_edges(pair)
    return [(1, 1), (1, 200), (200, 1), (16, 16), (336, 336), (335, 337)]


def described(images, size):
    """What transformers' image processor says of an image of this size, without its pixels."""
    width, height = size
    if "image_grid_thw" in images.model_input_names:
        bounds = images.size["shortest_edge"], images.size["longest_edge"]
        patch = images.patch_size
        tall, wide = smart_resize(height, width, patch * images.merge_size, *bounds)
        return {"image_grid_thw": np.array([[1, tall // patch, wide // patch]])}
    tile = np.zeros((3, images.crop_size["height"], images.crop_size["width"]), np.float32)
    if "image_sizes" in images.model_input_names:
        return {"pixel_values": tile[None, None], "image_sizes": np.array([[height, width]])}
    return {"pixel_values": tile[None]}


def check_placeholders(pair, size, inputs):
    plan = pair.ours.plan(*size)
    text = pair.theirs.replace_image_token(inputs, 0)
    assert len(plan.image_index) == text.count(pair.theirs.image_token), size
    if pair.family in QWEN:
        _, rows, columns = inputs["image_grid_thw"][0]
        assert plan.grid == (rows // 2, columns // 2), size
        patches = pair.images.get_number_of_image_patches(size[1], size[0], {})
        assert len(plan.segments) == patches == rows * columns, size


@qwen_families
@everywhere
def test_sizes_lie_on_both_sides_of_every_rounding_of_qwen(pair):
    factor, found = pair.images.patch_size * pair.images.merge_size, set()
    for size in edges(pair):
        area = math.prod(round(side / factor) * factor for side in size)
        for name in ("shortest_edge", "longest_edge"):
            found.add((name, np.sign(area - pair.images.size[name])))
        for side in size:
            found.add((side // factor % 2, np.sign(side % factor - factor // 2)))
    assert len(found) == 12


@llava_next
@everywhere
def test_sizes_lie_on_both_sides_of_every_rounding_of_llava_next(pair):
    found, pinpoints = set(), pair.images.image_grid_pinpoints
    for width, height in edges(pair):
        best = select_best_resolution((height, width), pinpoints)
        rows, columns = (side // pair.vision.patch_size for side in best)
        shape = np.sign(width * rows - height * columns)
        long, short = (height, width) if shape < 0 else (width, height)
        patches, padded = (rows, columns) if shape < 0 else (columns, rows)
        found.add((shape, (padded - short * patches // long) % 2))
        found.add((shape, int(short * (patches / long)) < short * patches // long, "float"))
        if select_best_resolution((height, width), pinpoints[::-1]) != best:
            found.add("tie")
    sides = {(shape, rest) for shape in (-1, 1) for rest in (0, 1)} | {(0, 0)}
    floats = {(shape, short, "float") for shape in (-1, 1) for short in (False, True)}
    assert found >= sides | floats | {"tie"}


@all_families
@everywhere
def test_placeholders(pair, scale):
    for size in [*edges(pair), *random_sizes(scale)]:
        inputs = described(pair.images, size)
        check_placeholders(pair, size, inputs)
        if scale == "tiny":
            made = pair.images([tiny.picture(0, size)], return_tensors="np")
            check_placeholders(pair, size, made)


@pytest.mark.parametrize("family", ["llava_next", *QWEN])
def test_placeholders_of_every_small_size(pair_of, family):
    pair = pair_of(family, "tiny")
    for size in small_sizes(72):
        check_placeholders(pair, size, described(pair.images, size))


@pytest.mark.parametrize("first", PINPOINTS, ids=str)
def test_best_pinpoint_in_any_order(first):
    """Of equal ones the least padded, wherever it stands."""
    others = [pinpoint for pinpoint in PINPOINTS if pinpoint != first]
    for order in itertools.permutations(others):
        pinpoints = tuple((height, width) for height, width in (first, *order))
        for width, height in itertools.product(range(1, 1100, 61), repeat=2):
            wanted = select_best_resolution((height, width), list(pinpoints))
            assert best_pinpoint(width, height, pinpoints) == wanted, (width, height)


def packed_index(pair, sizes):
    """Rows of the patch buffer, put in the place of features that transformers packs."""
    tile, pinpoints = pair.vision.image_size, pair.model.config.image_grid_pinpoints
    rows, start, features = (tile // pair.vision.patch_size) ** 2 + 1, 0, []
    for width, height in sizes:
        tiles = image_size_to_num_patches((height, width), pinpoints, tile)
        numbers = start + torch.arange(tiles * rows).view(tiles, rows, 1)
        features.append(numbers[:, 1:])
        start += tiles * rows
    shapes = torch.tensor([size[::-1] for size in sizes])
    newline = torch.tensor([NEWLINE])
    packed, _ = pair.model.model.pack_image_features(features, shapes, "default", newline)
    return torch.cat(packed)[:, 0].numpy(), start


@llava_next
@everywhere
def test_rows_of_llava_next(pair, scale):
    more = small_sizes(50) if scale == "tiny" else [(width, 331) for width in range(1, 1400, 3)]
    for size in [*edges(pair), *random_sizes(scale), *more, *(size[::-1] for size in more)]:
        index, num_rows = packed_index(pair, [size])
        plan = pair.ours.plan(*size)
        np.testing.assert_array_equal(plan.image_index, index, str(size))
        assert len(plan.segments) == plan.num_rows == num_rows


def qwen_places(pair, grids):
    """Rows at the placeholders, order of blocks, and places of patches, by transformers."""
    grids, merge = torch.as_tensor(grids), pair.vision.spatial_merge_size
    row_column = get_vision_position_ids(grids, merge)
    if pair.family == "qwen3_vl":
        side = math.isqrt(pair.vision.num_position_embeddings)
        rows, weights = get_vision_interpolation_indices_and_weights(
            grids, side, mode="bilinear", align_corners=True, spatial_merge_size=merge
        )
        order = torch.arange(len(row_column) // merge**2)
        places = {"row_column": row_column, "table_rows": rows, "table_weights": weights}
        return order, order, places
    order, ends = get_vision_window_index(
        grids, merge, pair.vision.window_size, pair.vision.patch_size
    )
    row_column = row_column.view(-1, merge**2, 2)[order].view(-1, 2)
    window_ids = torch.repeat_interleave(torch.arange(1, len(ends)), ends.diff())
    return torch.argsort(order), order, {"row_column": row_column, "window_ids": window_ids}


def check_places(found, wanted, where=""):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        if array.is_floating_point():
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6, err_msg=str(where))
        else:
            np.testing.assert_array_equal(found[name], array, str(where))


@qwen_families
@everywhere
def test_places_of_qwen(pair, scale):
    more = small_sizes(72) if scale == "tiny" else []
    sizes = {pair.ours.grid(*size): size for size in [*edges(pair), *random_sizes(scale), *more]}
    for size in sizes.values():
        index, _, places = qwen_places(pair, described(pair.images, size)["image_grid_thw"])
        plan = pair.ours.plan(*size)
        np.testing.assert_array_equal(plan.image_index, index, str(size))
        check_places(plan.places, places, size)
        assert plan.num_rows == len(index)


@pytest.mark.parametrize("side", range(1, 6))
def test_order_of_windows(side):
    for down, across in small_sizes(14):
        grid = torch.tensor([[1, 2 * down, 2 * across]])
        wanted, ends = get_vision_window_index(grid, 2, window_size=2 * 14 * side, patch_size=14)
        order, windows = window_order(down, across, side)
        np.testing.assert_array_equal(order, wanted)
        np.testing.assert_array_equal(windows, np.repeat(np.arange(1, len(ends)), ends.diff() // 4))


@qwen_families
@everywhere
def test_places_say_where_the_pixels_lie(pair):
    factor, patch = pair.images.patch_size * pair.images.merge_size, pair.images.patch_size
    image = tiny.picture(0, (16 * factor, 4 * factor))
    plan = pair.ours.plan(*image.size)
    mean, std = (np.array(pair.images.to_dict()[f"image_{name}"]) for name in ("mean", "std"))
    pixels = ((np.asarray(image) / 255 - mean) / std).transpose(2, 0, 1)
    patches = pair.ours.patches(image, plan).reshape(-1, 3, patch, patch)
    assert len(patches) == 16 * 4 * pair.images.merge_size**2
    for found, (row, column) in zip(patches, plan.places["row_column"] * patch, strict=True):
        wanted = pixels[:, row : row + patch, column : column + patch]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A conversation's images, our example of it, and what transformers' processor made of it."""

    images: list[Image.Image]
    example: Any
    made: Any


def random_conversation(sizes, seed):
    """Turns of random words, with an image mark between any two of them or none."""
    rng, said = np.random.default_rng(seed), []
    for _ in range(6):
        said.append(" ".join(rng.choice(tiny.WORDS, rng.integers(1, 9))))
    for _ in sizes:
        turn, where = 2 * rng.integers(3), rng.integers(3)
        words = said[turn].split(" ")
        at = (0, len(words) // 2, len(words))[where]
        said[turn] = " ".join([*words[:at], "<image>", *words[at:]])
    turns = [(("user", "assistant")[number % 2], text) for number, text in enumerate(said)]
    return tiny.conversation(*turns, sizes=sizes, seed=seed)


def in_parts(conversation):
    """Messages as transformers' processor takes them."""
    images, messages = iter(conversation["images"]), []
    for message in conversation["messages"]:
        parts = []
        for number, text in enumerate(message["content"].split("<image>")):
            parts += [{"type": "image", "image": next(images)}] if number else []
            parts += [{"type": "text", "text": text}] if text else []
        messages.append({"role": message["role"], "content": parts})
    return messages


def encode(pair, sizes, seed):
    conversation = random_conversation(sizes, seed)
    made = pair.theirs.apply_chat_template(
        in_parts(conversation), tokenize=True, return_dict=True, return_tensors="pt"
    )
    return Encoded(conversation["images"], pair.ours.encode(conversation), made)


@pytest.fixture(scope="module")
def encoded_of(pair_of):
    """Conversations of no image to four."""

    def encode_all(family, scale):
        most = {"tiny": 130, "real": 700}[scale]
        pair, sizes = pair_of(family, scale), random_sizes(scale, 30, most, seed=1)
        if scale == "tiny":
            sizes[:6] = [(1, 1), (3, 50), (50, 3), (1, 90), (90, 1), (16, 32)]
        found = []
        for number in range(15):
            count = number % 5
            found.append(encode(pair, tuple(sizes[:count]), number))
            sizes = sizes[count:]
        return found

    return functools.cache(encode_all)


@pytest.fixture
def encoded(encoded_of, family, scale):
    return encoded_of(family, scale)


@all_families
@everywhere
def test_tokens_of_conversations(pair, encoded):
    assert {len(one.images) for one in encoded} == set(range(5))
    for one in encoded:
        np.testing.assert_array_equal(one.example.tokens, one.made["input_ids"][0])
        is_image = one.example.tokens == pair.theirs.image_token_id
        np.testing.assert_array_equal(one.example.image_index == -1, ~is_image)


@all_families
@everywhere
def test_positions_of_conversations(pair, encoded):
    for one in encoded:
        wanted = torch.arange(len(one.example.tokens)).expand(3, -1)
        if pair.family in QWEN:
            found, _ = pair.model.model.get_rope_index(
                one.made["input_ids"], one.made["mm_token_type_ids"], one.made.get("image_grid_thw")
            )
            wanted = found[:, 0]
        np.testing.assert_array_equal(one.example.positions, wanted.T)


def tiles_of(pair, one):
    """[n, 3, H, W] of a LLaVA's conversation, without those that pad a smaller image."""
    pixels = one.made["pixel_values"]
    if pair.family == "llava":
        return pixels
    pinpoints, tile = pair.images.image_grid_pinpoints, pair.vision.image_size
    counts = [image_size_to_num_patches(i.size[::-1], pinpoints, tile) for i in one.images]
    return torch.cat([tiles[:count] for tiles, count in zip(pixels, counts, strict=True)])


def patches_of(pair, one):
    """[p, C] that transformers made, as we lay them out."""
    size = pair.vision.patch_size
    if pair.family in LLAVA:
        patches = functional.unfold(tiles_of(pair, one), size, stride=size).mT
        return functional.pad(patches, (0, 0, 1, 0)).flatten(0, 1)
    frames = one.made["pixel_values"].view(-1, 3, 2, size * size)
    assert torch.equal(frames[:, :, 0], frames[:, :, 1])
    _, order, _ = qwen_places(pair, one.made["image_grid_thw"])
    return frames[:, :, 0].reshape(len(order), -1)[order].reshape(len(frames), -1)


@all_families
@everywhere
def test_pixels_of_conversations(pair, encoded):
    for one in encoded:
        if one.images:
            wanted = patches_of(pair, one)
            np.testing.assert_allclose(one.example.patches, wanted, rtol=0, atol=1e-6)
            assert one.example.patches.dtype == np.float32
        else:
            assert one.example.patches.shape == (0, 3 * pair.vision.patch_size**2)


@qwen_families
@everywhere
def test_places_of_conversations_of_qwen(pair, encoded):
    """Several images in one buffer: windows and rows count on."""
    for one in encoded:
        if not one.images:
            continue
        example, grids = one.example, one.made["image_grid_thw"]
        index, _, places = qwen_places(pair, grids)
        rows = example.image_index[example.tokens == pair.theirs.image_token_id]
        np.testing.assert_array_equal(rows, index)
        assert example.num_rows == len(index)
        check_places(example.patch_places, places)
        segments = torch.arange(1, len(grids) + 1)
        lengths = get_vision_cu_seqlens(grids).diff()
        np.testing.assert_array_equal(
            example.patch_segments, torch.repeat_interleave(segments, lengths)
        )


@pytest.mark.parametrize("family", LLAVA)
@everywhere
def test_places_of_conversations_of_llava(pair, encoded):
    """Several images in one buffer: tiles and rows count on."""
    rows = (pair.vision.image_size // pair.vision.patch_size) ** 2 + 1
    for one in encoded:
        if not one.images:
            continue
        example, tiles = one.example, len(tiles_of(pair, one))
        index = np.arange(tiles * rows).reshape(tiles, rows)[:, 1:].ravel()
        if pair.family == "llava_next":
            index, _ = packed_index(pair, [image.size for image in one.images])
        found = example.image_index[example.tokens == pair.theirs.image_token_id]
        np.testing.assert_array_equal(found, index)
        assert example.num_rows == tiles * rows
        np.testing.assert_array_equal(example.patch_segments, 1 + np.arange(tiles * rows) // rows)
        check_places(example.patch_places, {"positions": torch.arange(tiles * rows) % rows})


@qwen_families
@everywhere
@pytest.mark.parametrize("bound", ["the least", "between", "over the checkpoint's"])
def test_max_pixels_bounds_an_image(pair, scale, bound):
    least, most = pair.images.size["shortest_edge"], pair.images.size["longest_edge"]
    limit = {"the least": least, "between": 7 * least + 5}.get(bound, 2 * most)
    images = AutoImageProcessor.from_pretrained(
        pair.directory, backend="pil", min_pixels=least, max_pixels=limit
    )
    bounded = dataclasses.replace(
        pair, ours=models.load(pair.directory, max_pixels=limit).processor
    )
    for size in [*qwen_edges(images), *random_sizes(scale, 60)]:
        _, rows, columns = described(images, size)["image_grid_thw"][0]
        assert bounded.ours.plan(*size).grid == (rows // 2, columns // 2), size
    large = (math.isqrt(3 * most), math.isqrt(3 * most))
    assert bounded.ours.plan(*large).grid != pair.ours.plan(*large).grid
    picture, edges = tiny.picture(0, (400, 300)), {"shortest_edge": least, "longest_edge": limit}
    made = Encoded([picture], None, pair.images([picture], size=edges, return_tensors="pt"))
    found = bounded.ours.patches(picture, bounded.ours.plan(*picture.size))
    np.testing.assert_allclose(found, patches_of(pair, made), rtol=0, atol=1e-6)


@qwen_families
def test_max_pixels_below_the_smallest_image_is_an_error(pair_of, family):
    directory = pair_of(family, "tiny").directory
    for limit in (1, 63):
        with pytest.raises(ConfigError, match=f"max_pixels: found {limit}, wanted at least 64"):
            models.load(directory, max_pixels=limit)
    assert models.load(directory, max_pixels=64).processor.plan(100, 100).grid == (1, 1)


@pytest.mark.parametrize("family", LLAVA)
def test_max_pixels_of_a_fixed_resolution_is_an_error(pair_of, family):
    with pytest.raises(ConfigError, match="model.max_pixels: found 4096, wanted 0"):
        models.load(pair_of(family, "tiny").directory, max_pixels=4096)


@qwen_families
@everywhere
@pytest.mark.parametrize("size", [(1, 201), (201, 1), (2, 401), (4001, 20)])
def test_an_image_too_long_is_an_error(pair, size):
    picture = tiny.picture(0, size)
    with pytest.raises(ValueError, match="aspect ratio"):
        pair.images([picture])
    with pytest.raises(DataError, match=f"{size[0]} x {size[1]} pixels"):
        pair.ours.plan(*size)
    turns = [("user", "<image> what"), ("assistant", "a knife")]
    with pytest.raises(DataError, match="aspect ratio"):
        pair.ours.encode({**tiny.conversation(*turns), "images": [picture]})
    with pytest.raises(DataError, match="aspect ratio"):
        pair.ours.measure(record(turns, [tiny.png(picture)]))


def record(turns, images):
    return Record("a", tuple(images), tuple(Message(role, text) for role, text in turns))


def turned(size):
    """A JPEG of a picture that viewers turn by a quarter."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = 6
    tiny.picture(5, size).save(file, "JPEG", exif=exif)
    return file.getvalue()


def records():
    pngs = [tiny.png(tiny.picture(seed, size)) for seed, size in enumerate([(40, 23), (90, 9)])]
    two = [("user", "<image> what"), ("assistant", "a knife"), ("user", "<image> is <image> it")]
    yield record([*two, ("assistant", "two red")], [pngs[0], turned((70, 20)), pngs[1]])
    yield record([("system", "you help"), *two], [*pngs, pngs[0]])
    yield record([("user", "what is red"), ("assistant", "blue")], [])
    yield record(two, [*pngs, turned((16, 48))])
    yield record([("user", "<image>"), ("assistant", "no")], [turned((20, 90))])


@all_families
@pytest.mark.parametrize("closes", [True, False])
def test_measure_is_the_length_of_the_training_example(family, closes, tmp_path):
    """Also where the template writes no stop token after an answer."""
    directory = tiny.write(family, tmp_path)
    template = directory / "chat_template.jinja"
    if not closes:
        stop = "</s>" if family in LLAVA else "<|im_end|>"
        template.write_text(template.read_text().replace(f" {stop}", ""))
    processor = models.load(directory).processor
    assert processor.writes_stop == closes
    for one in records():
        images = [decode_image(data, where="here") for data in one.images]
        messages = [dataclasses.asdict(message) for message in one.messages]
        example = processor.encode({"images": images, "messages": messages}, training=True)
        assert processor.measure(one) == example.lengths


def test_the_size_of_a_turned_image_is_that_of_its_pixels(pair_of):
    data = turned((70, 20))
    assert image_size(data, where="here") == decode_image(data, where="here").size == (20, 70)
    processor = pair_of("llava_next", "tiny").ours
    lines = [(processor.plan(*size).image_index == NEWLINE).sum() for size in ((20, 70), (70, 20))]
    assert lines[0] != lines[1], "so that a family's lengths tell one from the other"
