"""Conversations: tokens as transformers' processor makes them, and what of them is trained."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_checkpoints as tiny
from transformers import AutoTokenizer, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from vsfa_jax import models
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import Message, Record

CONVERSATION = tiny.conversation(
    ("system", "you help"),
    ("user", "<image> what is this"),
    ("assistant", "a knife"),
    ("user", "how many <image> is <image>"),
    ("assistant", "two red"),
    sizes=((40, 23), (16, 16), (30, 50)),
)


@pytest.fixture(scope="module", params=sorted(models.FAMILIES))
def vlm(request, tmp_path_factory):
    return models.load(tiny.write(request.param, tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return models.load(tiny.write("llava", tmp_path_factory.mktemp("llava")))


def words(vlm, tokens):
    return vlm.processor.tokenizer.convert_ids_to_tokens(tokens)


def test_only_what_the_assistant_says_is_trained(vlm):
    example = vlm.processor.encode(CONVERSATION)
    stop = "</s>" if "llava" in vlm.family else "<|im_end|>"
    wanted = ["a", "knife", stop, "two", "red", stop]
    assert words(vlm, example.tokens[example.trained]) == wanted
    assert not example.trained[example.tokens == vlm.config.image_token].any()


def test_every_image_has_its_own_placeholders(vlm):
    example = vlm.processor.encode(CONVERSATION)
    plans = [vlm.processor.plan(*image.size) for image in CONVERSATION["images"]]
    placeholders = np.flatnonzero(example.tokens == vlm.config.image_token)
    assert len(placeholders) == sum(len(plan.image_index) for plan in plans)
    runs = np.split(placeholders, np.flatnonzero(np.diff(placeholders) > 1) + 1)
    assert [len(run) for run in runs] == [len(plan.image_index) for plan in plans]
    rows = example.image_index[placeholders]
    used = rows[rows >= 0]
    assert len(set(used.tolist())) == len(used) and used.max() < example.num_rows
    assert (example.image_index >= 0).sum() == len(used)


def test_a_template_adds_its_own_system_turn(vlm):
    turns = [("user", "what is red"), ("assistant", "blue")]
    said = words(vlm, vlm.processor.encode(tiny.conversation(*turns)).tokens)
    assert ("system" in said) == vlm.family.startswith("qwen")


def test_an_image_token_in_the_text_is_an_error(vlm):
    text = f"what is {vlm.processor.image_token}"
    if vlm.processor.image_token == "<image>":
        text = "<image> " + text
    with pytest.raises(DataError, match="images"):
        vlm.processor.encode(tiny.conversation(("user", text), ("assistant", "no")))


def test_training_ends_with_a_stop_token_where_the_template_writes_none(vlm):
    """LLaVA's own templates do not; a model trained on them would unlearn to stop.

    What they write instead, here a full stop that is no word of the answer, is not trained.
    """
    processor = vlm.processor
    closed = processor.encode(CONVERSATION, training=True)
    assert closed.tokens.tolist() == processor.encode(CONVERSATION).tokens.tolist()
    kept = processor.tokenizer.chat_template
    try:
        stop = processor.tokenizer.convert_ids_to_tokens(processor.stop_tokens[0])
        processor.tokenizer.chat_template = kept.replace(f" {stop}", " :")
        processor.__dict__.pop("writes_stop")
        assert not processor.writes_stop
        closed = processor.encode(CONVERSATION, training=True)
        said = words(vlm, closed.tokens[closed.trained])
        assert said == ["a", "knife", "two", "red", stop]
        assert words(vlm, closed.tokens)[-3:] == ["two", "red", stop]
        plain = processor.encode(CONVERSATION)
        assert words(vlm, plain.tokens)[-3:] == ["two", "red", ":"]
        images = tuple(tiny.png(image) for image in CONVERSATION["images"])
        said = tuple(Message(**message) for message in CONVERSATION["messages"])
        assert processor.measure(Record("a", images, said)) == closed.lengths
    finally:
        processor.tokenizer.chat_template = kept
        processor.__dict__.pop("writes_stop")


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
def test_a_processors_own_template_goes_first(name, tmp_path):
    """As in transformers; the published LLaVA checkpoints have theirs in such a file."""
    directory = tiny.write("llava", tmp_path)
    template = (directory / "chat_template.jinja").read_text()
    (directory / name).write_text(json.dumps({"chat_template": template.replace("USER", "user")}))
    turns = [("user", "what is red"), ("assistant", "blue")]
    vlm = models.load(directory)
    said = words(vlm, vlm.processor.encode(tiny.conversation(*turns)).tokens)
    assert "user" in said and "USER" not in said
    (directory / "chat_template.jinja").unlink()
    assert "user" in words(
        vlm, models.load(directory).processor.encode(tiny.conversation(*turns)).tokens
    )


@pytest.mark.parametrize("written", [True, False])
def test_tokens_are_those_of_transformers_processor(tmp_path, written):
    """Also where the template leaves the beginning to the tokenizer, as LLaVA-1.5's does."""
    directory = tiny.write("llava", tmp_path)
    begins = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    parts = [begins, {"Sequence": {"id": "A", "type_id": 0}}]
    file, template = directory / "tokenizer.json", directory / "chat_template.jinja"
    tokenizer = json.loads(file.read_text())
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": parts,
        "pair": parts,
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    file.write_text(json.dumps(tokenizer))
    if not written:
        template.write_text(template.read_text().replace("{{ bos_token }}", ""))
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil.from_pretrained(directory),
        tokenizer=AutoTokenizer.from_pretrained(directory),
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template.read_text(),
    )
    picture = tiny.picture(1)
    said = [{"type": "image", "image": picture}, {"type": "text", "text": "what is this"}]
    wanted = processor.apply_chat_template(
        [
            {"role": "user", "content": said},
            {"role": "assistant", "content": [{"type": "text", "text": "a knife"}]},
        ],
        tokenize=True,
        return_dict=True,
    )["input_ids"][0]
    turns = [("user", "<image>what is this"), ("assistant", "a knife")]
    example = models.load(directory).processor.encode(
        {**tiny.conversation(*turns), "images": [picture]}
    )
    assert example.tokens.tolist() == list(wanted) and wanted[0] == 1 and wanted[1] != 1
    assert example.trained.sum() == 3, "a knife </s>"


def test_marks_and_images_must_agree(vlm):
    broken = {**CONVERSATION, "images": []}
    with pytest.raises(DataError, match="found 3 <image> marks and 0 images"):
        vlm.processor.encode(broken)


def test_a_conversation_that_trains_nothing_is_an_error(vlm):
    with pytest.raises(DataError, match="no token would be trained"):
        vlm.processor.encode(tiny.conversation(("user", "what is this")), training=True)


def test_template_that_rewrites_history_is_an_error(vlm):
    tokenizer = vlm.processor.tokenizer
    kept = tokenizer.chat_template
    try:
        tokenizer.chat_template = "{{ messages|length }}" + kept
        with pytest.raises(DataError, match="differently"):
            vlm.processor.encode(CONVERSATION)
    finally:
        tokenizer.chat_template = kept
