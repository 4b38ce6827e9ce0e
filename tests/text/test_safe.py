"""Remote text is inert, wherever the chunks are cut."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_pieces import CHUNKS, pieces

from canary_tui.text.safe import (
    HOSTILE as HOSTILE_CLASS,
)
from canary_tui.text.safe import (
    LONGEST_SEQUENCE,
    Sanitiser,
    blanked,
    control_in,
    make_safe,
    one_line,
    stripped,
    whole_line,
    written_out,
)

HOSTILE = (
    (set(range(0x20)) - {0x09, 0x0A})
    | set(range(0x7F, 0xA0))
    | {0xAD, 0x061C, 0x180E, 0x2028, 0x2029, 0xFEFF, 0xFFF9, 0xFFFA, 0xFFFB, 0xFFFE, 0xFFFF}
    | set(range(0x200B, 0x2010))
    | set(range(0x202A, 0x202F))
    | set(range(0x2060, 0x2070))
    | set(range(0x1BCA0, 0x1BCA4))
    | set(range(0x1D173, 0x1D17B))
    | set(range(0xE0000, 0xE0080))
    | set(range(0xD800, 0xE000))
)
FRAGMENTS = [
    b"\x1b]52;c;ZXZpbA==\x07", b"\x1b]0;t\x1b\\", b"\x1b]8;;http://x\x07a\x1b]8;;\x07", b"\x1b[2J", b"\x1b[31m",
    b"\x9b31m", b"\xc2\x9b31m", b"\x1bP+q\x1b\\", b"\x1b", b"\r", b"\r\n", b"\n", b"\t", b"\x00", b"\xff", b"\xe2\x80\xae",
    b"\xe2\x80\x8b", b"\xed\xa0\x80", b"\x1b]", b"\x1b\x1b[", b"plain text", b"\x18", b"\x1b(0", b"\x1b(", b"\x1b[>c",
    b"\x1b[6n", b"\xc2\x90", b"\xc2\x9c", b"\x07", b"\\", "héllo 世界 👩‍👩‍👧".encode(), b"\x7f", b"\xf3\xa0\x81\x81",
    b"\x1bX", b"\x1b^a\x1b", b"\x1bc", b"\x1b#8",
]  # fmt: skip


def is_control(character: str) -> bool:
    return character != "\t" and unicodedata.category(character) == "Cc"


def show(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"


def end_of_sequence(text: str, at: int) -> int | None:
    """Where the escape sequence at `at` ends, `at` if there is none, None if it is not whole."""
    kind, place = text[at], at + 1
    if kind == "\x1b":
        if place == len(text):
            return None
        second = text[place]
        if not " " <= second <= "~":
            return place
        place += 1
        if " " <= second <= "/":
            while place < len(text) and " " <= text[place] <= "/":
                place += 1
            if place == len(text):
                return None
            return place + 1 if text[place] <= "~" and text[place] >= "0" else place
        if second not in "[P]X^_":
            return place
        kind = "\x9b" if second == "[" else "\x9d"
    begun = place
    if kind == "\x9b":
        while place < len(text) and " " <= text[place] <= "?":
            place += 1
        end = None if place == len(text) else place + ("@" <= text[place] <= "~")
    elif kind in "\x90\x98\x9d\x9e\x9f":
        while place < len(text) and not is_control(text[place]):
            place += 1
        if place == len(text) or text[place:] == "\x1b":
            end = None
        elif text[place] in "\x07\x9c":
            end = place + 1
        else:
            end = place + 2 if text[place : place + 2] == "\x1b\\" else place
    else:
        return at
    return at if place - begun > LONGEST_SEQUENCE else end


def reference(data: bytes) -> str:
    """One character after another, the whole stream at once: slow and plain."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    out, at = "", 0
    while at < len(text):
        end = end_of_sequence(text, at) if text[at] in "\x1b\x90\x98\x9b\x9d\x9e\x9f" else at
        if end is not None and end > at:
            at = end
        else:
            out += show(text[at]) if ord(text[at]) in HOSTILE else text[at]
            at += 1
    return out


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from(FRAGMENTS)), max_size=12), CHUNKS)
def test_whatever_arrives_only_harmless_characters_come_out_and_chunks_do_not_matter(
    fragments: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(fragments)
    sanitiser = Sanitiser()
    text = "".join(sanitiser.feed(piece) for piece in pieces(data, cuts)) + sanitiser.feed(b"", final=True)
    assert not [character for character in text if ord(character) in HOSTILE]
    assert text == reference(data)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200))
def test_plain_text_is_left_as_it_is(text: str) -> None:
    assert Sanitiser().feed(text.encode()) == text


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        pytest.param(b"a\r\nb\rc\n", "a\nb\nc\n", id="a progress bar becomes lines"),
        pytest.param(b"\x1b[1;31mred\x1b[0m", "red", id="colour is dropped"),
        pytest.param(b"\x1b]52;c;cHduZWQ=\x07x", "x", id="the clipboard is not written"),
        pytest.param(b"a\x00b\x7fc", "a␀b␡c", id="controls are shown"),
        pytest.param("a\u202eb".encode(), "a<U+202E>b", id="direction is shown"),
        pytest.param(b"\xff\xed\xa0\x80", "\ufffd" * 4, id="what is no text is shown as that"),
        pytest.param(b"\x1b[31", "␛[31", id="a sequence that never ends is shown"),
        pytest.param(b"\x1b(\nnext", "\nnext", id="a cut designation does not eat the line's end"),
        pytest.param("世界 ✓".encode(), "世界 ✓", id="other scripts are left alone"),
    ],
)
def test_what_a_person_sees_of_it(data: bytes, shown: str) -> None:
    assert Sanitiser().feed(data, final=True) == shown


def test_a_sequence_without_end_is_held_only_for_a_while() -> None:
    sanitiser = Sanitiser()
    text = sanitiser.feed(b"\x1b]")
    for _ in range(20):
        text += sanitiser.feed(b"A" * 1000)
        assert len(sanitiser._held) <= LONGEST_SEQUENCE + 2
    assert text.startswith("␛]AAAA")
    assert len(text) == 20_002


def test_hostile_text_costs_no_more_than_its_length() -> None:
    """64 kB of introducers without an end, in about the time that 64 kB of anything take."""
    for hostile in (b"\xc2\x90", b"\x1b]", b"\x1bP", b"\x1b[", b"\x1b ", b"\r"):
        started = time.process_time()
        Sanitiser().feed(hostile * 32_000, final=True)
        assert time.process_time() - started < 1


def test_one_line_of_foreign_text_is_short_and_safe() -> None:
    assert one_line("Permission\r\n\x1b[2Jdenied\n") == "Permission denied"
    assert one_line("x" * 1000, 10) == "x" * 9 + "…"
    assert make_safe("a\x1b]0;t\x07\udc9bb") == "a?b"


def test_one_set_of_characters_is_hostile_and_python_calls_none_of_them_printable() -> None:
    """So `isprintable` alone is enough to let a text pass quickly."""
    one = re.compile(f"[{HOSTILE_CLASS}]")
    assert {code for code in range(0x110000) if one.match(chr(code))} == HOSTILE
    assert not [code for code in HOSTILE if chr(code).isprintable()]


CLEANERS = [
    pytest.param(make_safe, "a\n b ☃", id="several lines"),
    pytest.param(whole_line, "a  b ☃", id="one line"),
    pytest.param(one_line, "a b ☃", id="a few words"),
    pytest.param(written_out, "a\\n b ☃", id="escapes"),
    pytest.param(blanked, "a  b ☃", id="as many characters"),
    pytest.param(lambda text: stripped(text, lambda _character: 0), "a b ☃", id="as many cells"),
]


@pytest.mark.parametrize(("clean", "harmless"), CLEANERS)
def test_every_cleaner_removes_the_whole_set_and_leaves_plain_text(clean: Callable[[str], str], harmless: str) -> None:
    evil = "".join(f"<{chr(code)}>" for code in sorted(HOSTILE))
    assert not [character for character in clean(evil) if ord(character) in HOSTILE]
    assert clean("a\n b ☃") == harmless


def test_what_is_written_out_can_be_found_again() -> None:
    assert written_out("a\tb\x1b[2J\u202ec\u0301") == "a b\\x1b[2J\\u202ec\\u0301"


def test_a_screen_keeps_its_columns() -> None:
    assert blanked("a\x1b[2J\nb") == "a [2J b"
    assert stripped("a\xadb\x07", lambda character: int(character == "\xad")) == "a b"


def test_tab_and_line_feed_are_no_control_characters_of_a_text() -> None:
    assert control_in("a\tb\n") is None
    assert control_in("a\tb\rc\x00") == "\r"
