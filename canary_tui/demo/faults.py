"""The faults that a target of the demo can have, and the words that ask for them: `web-3:slow`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary_tui.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

FAULTS = {
    "slow": "unpacking takes eight times as long",
    "fail": "the new release does not start",
    "flaky": "the new release does not start at the first attempt",
    "hang": "unpacking never ends by itself",
    "drop": "the server drops the connection once in the middle of unpacking",
    "noisy": "unpacking prints 20,000 lines, escape sequences and bytes that are no text",
    "slow20": "the new release answers 20 % slower",
    "errors": "the new release answers 5 to 10 % of all requests with status 500",
    "leak": "the new release takes more memory with each request, and gets slower with it",
}
"""The words that the target's programs (`unpack.sh`, `restart.sh`), its server and its shop know."""


def fault_table() -> str:
    """Every fault with its sentence, a line each."""
    return "".join(f"  {name:<8} {sentence}\n" for name, sentence in FAULTS.items())


def parse_faults(texts: Iterable[str]) -> dict[str, str]:
    """`["web-3:slow"]` as `{"web-3": "slow"}`; UsageError says what exists."""
    from canary_tui.demo.fleet import TARGETS

    faults: dict[str, str] = {}
    for text in texts:
        target, _, fault = text.partition(":")
        if target not in TARGETS:
            raise UsageError(f"--fault {text}: the demo has no target {target!r}; {_known(target, TARGETS)}")
        if fault not in FAULTS:
            raise UsageError(f"--fault {text}: there is no fault {fault!r}; {_known(fault, FAULTS)}")
        if faults.setdefault(target, fault) != fault:
            raise UsageError(f"--fault {text}: {target} already has the fault {faults[target]}; a target has one")
    return faults


def _known(word: str, words: Iterable[str]) -> str:
    from difflib import get_close_matches

    words = list(words)
    close = get_close_matches(word, words, n=1)
    return (f"did you mean {close[0]}? " if close else "") + "there are " + ", ".join(words)
