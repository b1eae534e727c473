"""What a case shows of its image: the image, a blank, nothing, or the image's caption in words.

    image          as the benchmark puts it
    blank_image    a white image of the same size
    no_image       no image and no mark for one
    caption_only   the caption where the image's mark was

Set beside each other they say how much of an attack the image does. A case in another mode has
another id, which ends with the mode, and is in the cluster of the case that it was made of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.benchmarks.images import Blank, Images
from vsfa_jax.core.errors import ConfigError, DataError
from vsfa_jax.data.record import IMAGE_MARK, Message

MODES = ("image", "blank_image", "no_image", "caption_only")


def in_mode(cases: Iterable[Case], mode: str) -> list[Case]:
    """The cases in another mode, in their order.

    Args:
      cases: of any benchmarks, as these give them.
      mode: one of `MODES`. "image" gives all cases back as they are; the others leave out cases
        that have no image, which they would not change.

    Raises:
      ConfigError: there is no such mode.
      DataError: in `caption_only`, a case has an image and no caption, or one with a mark in it.
    """
    if mode not in MODES:
        raise ConfigError(f"eval.modes: found {mode!r}, wanted some of {', '.join(MODES)}")
    if mode == "image":
        return list(cases)
    change = {"blank_image": _blank, "no_image": _without, "caption_only": _told}[mode]
    return [_named(change(case), case, mode) for case in cases if len(case.images)]


def _named(changed: Case, case: Case, mode: str) -> Case:
    return dataclasses.replace(
        changed, id=f"{case.id}#{mode}", cluster=case.cluster or case.id, blind=None, mode=mode
    )


def _blank(case: Case) -> Case:
    blanks = tuple(
        Blank(case.images, number, f"case {case.id!r}, image {number + 1}")
        for number in range(len(case.images))
    )
    return dataclasses.replace(case, images=Images(blanks))


def _without(case: Case) -> Case:
    return dataclasses.replace(case, images=(), messages=_with_caption(case, ""))


def _told(case: Case) -> Case:
    if not case.caption:
        raise DataError(
            f"eval.modes: caption_only: case {case.id!r} has no caption, for {case.benchmark} does "
            "not say what its images show; wanted another mode or other benchmarks"
        )
    if IMAGE_MARK in case.caption:
        raise DataError(f"case {case.id!r}: an {IMAGE_MARK} mark in its caption; wanted none")
    return dataclasses.replace(case, images=(), messages=_with_caption(case, case.caption))


def _with_caption(case: Case, caption: str) -> tuple[Message, ...]:
    """The turns with the caption where the first mark was, without marks."""
    messages, left = [], caption
    for message in case.messages:
        content = message.content
        if left and IMAGE_MARK in content:
            content, left = content.replace(IMAGE_MARK, left, 1), ""
        # what stood between a mark and the text goes with the mark
        for spaced in (f"{IMAGE_MARK}\n", f"{IMAGE_MARK} ", IMAGE_MARK):
            content = content.replace(spaced, "")
        messages.append(dataclasses.replace(message, content=content))
    return tuple(messages)
