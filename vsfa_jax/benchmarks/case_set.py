"""Sets of cases: which are drawn, and the hash that says whether two sets are the same."""

from __future__ import annotations

import collections
import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence

from vsfa_jax.benchmarks.case import Case
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import image_digests


def draw(cases: Sequence[Case], *, per_kind: int, seed: int) -> list[Case]:
    """Some cases of each kind, spread over the kind's categories as evenly as these are large.

    Which case of a category is taken follows from the seed and the case's id alone, so that
    neither the order of the cases nor cases of other categories matter.

    Args:
      cases: a benchmark's, each with an id of its own.
      per_kind: cases of each kind, fewer where there are no more; 0 takes every case.
      seed: of the draw.

    Returns:
      What was drawn, in the order of `cases`.

    Raises:
      DataError: two cases have the same id.
    """
    for case_id, times in collections.Counter(case.id for case in cases).items():
        if times > 1:
            raise DataError(f"case {case_id!r}: {times} entries of the set have this id; wanted 1")
    if per_kind == 0:
        return list(cases)
    groups: dict[str, dict[str, list[Case]]] = {}
    for case in cases:
        groups.setdefault(case.kind, {}).setdefault(case.category, []).append(case)
    drawn = {
        case.id
        for categories in groups.values()
        for case in itertools.islice(_in_turns(categories, seed), per_kind)
    }
    return [case for case in cases if case.id in drawn]


def case_set_hash(cases: Iterable[Case]) -> str:
    """sha256 over all that is asked and expected: another hash is another test.

    Every image is read. The order of the cases does not matter.

    Returns:
      64 hexadecimal digits.

    Raises:
      DataError: an image cannot be read.
    """
    total = hashlib.sha256()
    for digest in sorted(map(_digest, cases)):
        total.update(digest)
    return total.hexdigest()


def _in_turns(categories: dict[str, list[Case]], seed: int) -> Iterable[Case]:
    """One case of each category after the other, then the next of each."""
    waiting = collections.deque(
        collections.deque(sorted(categories[name], key=lambda case: _lot(seed, case.id)))
        for name in sorted(categories, key=lambda name: _lot(seed, name))
    )
    while waiting:
        category = waiting.popleft()
        yield category.popleft()
        if category:
            waiting.append(category)


def _lot(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _digest(case: Case) -> bytes:
    """sha256 of a case, images through their own sha256."""
    about = {
        "id": case.id,
        "kind": case.kind,
        "category": case.category,
        "messages": [[message.role, message.content] for message in case.messages],
        "images": image_digests(case.images),
        "expected": dict(case.expected),
        "caption": case.caption,
        "cluster": case.cluster,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).digest()
