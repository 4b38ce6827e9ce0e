"""Words of other tools lead to the keys of a fleet file, or to the reason why there is none."""

from __future__ import annotations

import pytest

from canary_tui.fleetfile.decode import keys_of
from canary_tui.fleetfile.other_words import LEFT_OUT, SYNONYMS
from canary_tui.fleetfile.unsupported import UNSUPPORTED


@pytest.mark.found("field 16")
@pytest.mark.parametrize("cls", SYNONYMS, ids=lambda cls: cls.__name__)
def test_a_word_of_another_tool_leads_to_a_key_that_there_is(cls: type) -> None:
    """And none of them is a key already, or one that the format keeps for later."""
    own = keys_of(cls).keys()
    everywhere = {"run", "script", "upload", "http"} if "timeout" in own else set()
    assert set(SYNONYMS[cls].values()) <= own | everywhere
    assert not (SYNONYMS[cls].keys() | LEFT_OUT.keys()) & (own | UNSUPPORTED.get(cls, frozenset()))
