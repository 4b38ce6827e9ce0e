"""Redacts secrets in text, in every spelling that programs print, however the text is cut into chunks."""

from __future__ import annotations

import base64
import json
import re
import shlex
import urllib.parse
from collections.abc import Iterable

MARK = b"[secret]"
"""The word in the place of a secret."""
SHORTEST_SECRET = 4
"""Characters. Anything shorter would turn half of every log into marks and still be guessed."""


class Redactor:
    """Every secret of the fleet, in every spelling that programs print. Shared: each stream has its own `stream()`.

    A secret added later counts from then on for every stream, also for what a stream holds back.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._spellings: set[bytes] = set()
        self._build()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Hide this one, too. One shorter than `SHORTEST_SECRET` cannot be hidden and is ignored."""
        new = spellings(secret) - self._spellings
        if new:
            self._spellings |= new
            self._build()

    def stream(self) -> RedactedStream:
        """A redactor for one stream of bytes."""
        return RedactedStream(self)

    def text(self, text: str) -> str:
        """One text on its own, such as an error."""
        return self.stream().feed(text.encode(errors="surrogateescape"), final=True).decode(errors="replace")

    def _build(self) -> None:
        longest_first = sorted(self._spellings, key=lambda spelling: (-len(spelling), spelling))
        self.pattern = re.compile(b"|".join(map(re.escape, longest_first)))
        # bytes.find runs at gigabytes a second and an alternation at a tenth of one, so text is first
        # searched for the spellings that contain no other: where none is, nothing is.
        self.needles = [one for one in longest_first if not any(two in one for two in self._spellings - {one})]
        self.beginnings: dict[int, dict[int, set[bytes]]] = {}
        for spelling in longest_first:
            for length in range(1, len(spelling)):
                by_length = self.beginnings.setdefault(spelling[length - 1], {})
                by_length.setdefault(length, set()).add(spelling[:length])


class RedactedStream:
    """Bytes in, bytes out with each secret replaced, wherever the chunks are cut.

    Held back is only an end that may be the beginning of a secret.
    """

    def __init__(self, secrets: Redactor) -> None:
        self._secrets = secrets
        self._held = b""

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        """The bytes that can be let go now; with `final`, all of them."""
        if not self._secrets.needles:
            return data
        data = self._held + data
        if any(needle in data for needle in self._secrets.needles):
            return self._replace(data, final=final)
        cut = len(data) if final else self._undecided(data, 0)
        self._held = data[cut:]
        return data[:cut]

    def _replace(self, data: bytes, *, final: bool) -> bytes:
        parts, position = [], 0
        cut = len(data) if final else self._undecided(data, 0)
        while (match := self._secrets.pattern.search(data, position)) and match.start() < cut:
            parts += [data[position : match.start()], MARK]
            position = match.end()
            if position > cut:
                cut = self._undecided(data, position)
        self._held = data[cut:]
        return b"".join([*parts, data[position:cut]])

    def _undecided(self, data: bytes, start: int) -> int:
        """The start of the longest end of `data[start:]` that a secret begins with."""
        by_length = self._secrets.beginnings.get(data[-1], {}) if len(data) > start else {}
        fitting = (n for n, known in by_length.items() if n <= len(data) - start and data[-n:] in known)
        return len(data) - max(fitting, default=0)


def spellings(secret: str) -> set[bytes]:
    """A secret as programs print it: raw, base64 at any offset, hex, URL, JSON, shell-quoted, and line by line."""
    texts = {secret, *secret.splitlines()}
    found = {spelling for text in texts for spelling in (*_quoted(text), *_encoded(text.encode(errors="replace")))}
    return {spelling for spelling in found if len(spelling) >= SHORTEST_SECRET}


def _quoted(text: str) -> set[bytes]:
    url = urllib.parse.quote(text, safe="")
    forms = {text, text.replace("\n", "\r\n"), url, urllib.parse.quote(text), urllib.parse.quote_plus(text)}
    forms |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), url)}
    for ascii_only in (True, False):
        quoted = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        forms |= {quoted, quoted.replace("/", "\\/")}
    inside = shlex.quote(text)
    forms |= {inside[1:-1] if inside.startswith("'") and inside != text else inside}
    forms |= {text.replace("'", "'\\''"), re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)}
    return {form.encode(errors="replace") for form in forms}


def _encoded(data: bytes) -> set[bytes]:
    if len(data) < SHORTEST_SECRET:
        return set()
    forms = {data.hex().encode(), data.hex().upper().encode()}
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        # The characters at both ends also depend on the neighbours, and are left out.
        last = -1 if (offset + len(data)) % 3 else None
        padded = b"x" * offset + data
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(padded).rstrip(b"=")[first:last])
    return forms
