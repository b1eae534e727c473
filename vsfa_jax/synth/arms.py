"""Stage 5: the arms of a study, from one set of pairs, so that nothing but the arm differs.

    threat      the question, the threat's picture
    neutral     other questions of the same kinds, the matched neutral pictures
    shuffled    threat's questions and answers, each picture another's
    text_only   threat's questions and answers, the description in the picture's place
    mixed       threat's questions and answers, half with the picture, half with its description
    refusal     safety-labelled, for comparison only: as many rows

The first five have equally many questions of each kind, and answers of equally many tokens within
`arms.token_difference`: four of them have the same answers, and `neutral` and `threat` are chosen
from more questions than are needed so that they come to the same. Splits part groups, never rows.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from vsfa_jax.core.errors import DataError
from vsfa_jax.synth.rows import NEUTRAL, REFUSAL, SIDES, THREAT, Pair, Slot
from vsfa_jax.synth.settings import Arms

TRAIN, VALIDATION = "train", "validation"
Count = Callable[[str], int]
Chosen = dict[str, list[Pair]]  # by side


def arrange(pairs: Sequence[Pair], settings: Arms, seed: int, count: Count) -> list[Slot]:
    """The records of every arm and split.

    Args:
      pairs: those that passed the filters, and those of the refusal arm.
      settings: which arms, and how equal.
      seed: decides which of the spare questions are left out, and who gets whose picture.
      count: tokens of a text.

    Raises:
      DataError: an arm has no questions, or cannot be made as equal as is wanted.
    """
    if "text_only" in settings.names or "mixed" in settings.names:
        pairs = [pair for pair in pairs if pair.side != THREAT or pair.description]
    for side in [*_sides(settings), *({REFUSAL} & set(settings.names))]:
        if not any(pair.side == side for pair in pairs):
            raise DataError(
                f"arms: no {side} question is left, with a description where text_only or mixed "
                "wants one; stages/filters.jsonl has each with its reasons"
            )
    whole = set.intersection(
        *({pair.group for pair in pairs if pair.side == side} for side in _sides(settings))
    )  # a group that has lost one side to the filters can be trained on, not held out
    held_out = choose_groups(whole, settings.validation_share, seed)
    made: list[Slot] = []
    for split in (TRAIN, VALIDATION) if held_out else (TRAIN,):
        here = [pair for pair in pairs if (pair.group in held_out) == (split == VALIDATION)]
        chosen = choose(here, settings, seed, count, split)
        for arm in settings.names:
            made += _slots(arm, split, chosen, settings, seed)
    return made


def choose_groups(groups: Collection[str], share: float, seed: int) -> set[str]:
    """The groups to hold out: about `share` of them, by hash, so that others change nothing.

    Raises:
      DataError: a share is wanted and there is one group only.
    """
    known = sorted(set(groups), key=lambda group: _order(seed, "split", group))
    if not share:
        return set()
    if len(known) < 2:
        raise DataError(
            f"arms.validation_share: {share} of {len(known)} group of concepts cannot be held out; "
            "wanted more concepts, or 0"
        )
    return set(known[: min(len(known) - 1, max(1, round(share * len(known))))])


def choose(pairs: Sequence[Pair], settings: Arms, seed: int, count: Count, split: str) -> Chosen:
    """The pairs of each side: equally many of each kind, and tokens as near as swaps bring them.

    Raises:
      DataError: there are none, or the tokens differ by more than is wanted.
    """
    sides = _sides(settings)
    shelves: dict[tuple[str, str], list[Pair]] = collections.defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: _order(seed, "choose", pair.id)):
        shelves[pair.side, pair.kind].append(pair)
    kinds = sorted({kind for side, kind in shelves if side in sides})
    wanted = {}
    for kind in kinds:
        least = min(len(shelves[side, kind]) for side in sides)
        spare = settings.spare if len(sides) > 1 else 0.0
        wanted[kind] = max(min(least, 1), int(least * (1 - spare)))
    if REFUSAL in settings.names:
        _reduce(wanted, len(shelves[REFUSAL, REFUSAL]))
    if not sum(wanted.values()):
        found = {side: sum(pair.side == side for pair in pairs) for side in (*sides, REFUSAL)}
        raise DataError(f"arms: no question of the {split} split for all arms; found {found}")
    trays = [
        _Tray(side, [(pair, count(pair.answer)) for pair in shelves[side, kind]], wanted[kind])
        for side in sides
        for kind in kinds
    ]
    if len(sides) > 1:
        _balance(trays, settings.token_difference, split)
    chosen: Chosen = {side: [] for side in sides}
    for tray in trays:
        chosen[tray.side] += [pair for pair, _ in tray.taken]
    chosen[REFUSAL] = shelves[REFUSAL, REFUSAL][: sum(wanted.values())]
    return {side: sorted(found, key=lambda pair: pair.id) for side, found in chosen.items()}


def _sides(settings: Arms) -> list[str]:
    """The sides whose questions are balanced."""
    return [side for side in SIDES if side == THREAT or side in settings.names]


class _Tray:
    """The pairs of a side and kind with their tokens: those taken, and those to spare."""

    def __init__(self, side: str, pairs: Sequence[tuple[Pair, int]], wanted: int) -> None:
        self.side = side
        self.sign = 1 if side == THREAT else -1
        self.taken, self.spare = list(pairs[:wanted]), list(pairs[wanted:])

    @property
    def tokens(self) -> int:
        return sum(tokens for _, tokens in self.taken)

    def swaps(self) -> list[tuple[int, int, int]]:
        """(change of threat's tokens less neutral's, taken, spare): one for each two lengths."""
        out = {tokens: i for i, (_, tokens) in reversed(list(enumerate(self.taken)))}
        into = {tokens: i for i, (_, tokens) in reversed(list(enumerate(self.spare)))}
        return [(self.sign * (new - old), out[old], into[new]) for old in out for new in into]

    def swap(self, taken: int, spare: int) -> None:
        self.taken[taken], self.spare[spare] = self.spare[spare], self.taken[taken]


def _balance(trays: Sequence[_Tray], most: float, split: str) -> None:
    """Swaps taken pairs for spare ones, the best swap first, until no swap helps."""
    difference = sum(tray.sign * tray.tokens for tray in trays)
    while difference:
        options = (
            (abs(difference + change), number, change, out, into)
            for number, tray in enumerate(trays)
            for change, out, into in tray.swaps()
        )
        best = min(options, default=None)
        if best is None or best[0] >= abs(difference):
            break
        _, number, change, out, into = best
        trays[number].swap(out, into)
        difference += change
    total = sum(tray.tokens for tray in trays if tray.side == THREAT)
    if abs(difference) > most * total:
        raise DataError(
            f"arms: in the {split} split neutral answers have {total - difference} tokens and "
            f"threat answers {total}; wanted a difference of at most {most:.1%}: more questions "
            "a picture, or more of arms.spare"
        )


def _reduce(wanted: dict[str, int], most: int) -> None:
    """Takes from the commonest kinds until the sum is at most `most`."""
    while sum(wanted.values()) > most:
        largest = max(sorted(wanted), key=lambda kind: wanted[kind])
        wanted[largest] -= 1


def permute(pairs: Sequence[Pair], seed: int, split: str) -> dict[str, str]:
    """Picture -> another picture of the same pairs, each once; of another group if that can be.

    Raises:
      DataError: there is one picture only.
    """
    group_of = {pair.picture: pair.group for pair in pairs}
    sizes = collections.Counter(group_of.values())
    pictures = sorted(
        group_of,
        key=lambda id: (_order(seed, "shuffle", group_of[id]), _order(seed, "shuffle", id)),
    )
    if len(pictures) < 2:
        raise DataError(
            f"arms: the {split} split has {len(pictures)} picture; shuffled wants two or more"
        )
    # Pictures of a group stand together: a shift by the largest group's size leaves every group,
    # unless one is over half of all.
    shift = min(max(sizes.values()), len(pictures) // 2)
    return {id: pictures[(i + shift) % len(pictures)] for i, id in enumerate(pictures)}


def _slots(
    arm: str, split: str, chosen: Mapping[str, Sequence[Pair]], settings: Arms, seed: int
) -> list[Slot]:
    pairs = chosen[arm] if arm in (NEUTRAL, REFUSAL) else chosen[THREAT]
    others = permute(pairs, seed, split) if arm == "shuffled" else {}
    by_kind = sorted(pairs, key=lambda pair: (pair.kind, _order(seed, "mixed", pair.id)))
    in_words = {pair.id for pair in by_kind[1::2]} if arm == "mixed" else set()
    in_words |= {pair.id for pair in pairs} if arm == "text_only" else set()
    made = []
    for pair in pairs:
        slot = Slot(
            id=f"{arm}/{pair.id}",
            arm=arm,
            split=split,
            pair=pair.id,
            picture=others.get(pair.picture, pair.picture),
            kind=pair.kind,
            question=pair.question,
            answer=pair.answer,
        )
        if pair.id in in_words:
            text = in_words_of(pair, settings.text_template)
            slot = dataclasses.replace(slot, picture="", question=text)
        made.append(slot)
    return made


def in_words_of(pair: Pair, template: str) -> str:
    """The question with the description in the picture's place; braces in either stay."""
    words = {"{description}": pair.description, "{question}": pair.question}
    return re.sub("{description}|{question}", lambda found: words[found[0]], template)


def _order(seed: int, purpose: str, id: str) -> bytes:
    """A place in a chance order that no other item changes."""
    return hashlib.sha256(f"{seed}/{purpose}/{id}".encode()).digest()
