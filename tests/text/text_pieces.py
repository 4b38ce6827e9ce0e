"""One stream of bytes, cut anywhere."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

CHUNKS = st.lists(st.integers(0, 10**6), max_size=8)
"""Places to cut at."""


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces; a place beyond its end counts from the beginning again."""
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]
