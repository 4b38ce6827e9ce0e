"""Quotes a value in a message: escaped, and never long."""

from __future__ import annotations


def shorten(value: object) -> str:
    """A value as a message quotes it: escaped, and never long."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a number beyond 64 bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"
