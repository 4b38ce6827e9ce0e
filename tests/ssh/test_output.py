"""Remote text is inert and secrets are not in it, wherever the chunks are cut."""

from __future__ import annotations

import base64
import itertools
import json
import shlex
import time
import unicodedata
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.text.safe import LONGEST_SEQUENCE, SafeSink, Sanitiser, make_safe, one_line
from canary_tui.text.secrets import Redactor

HOSTILE = (
    (set(range(0x20)) - {0x09, 0x0A})
    | set(range(0x7F, 0xA0))
    | {0x061C, 0x180E, 0x2028, 0x2029, 0xFEFF, 0xFFF9, 0xFFFA, 0xFFFB, 0xFFFE, 0xFFFF}
    | set(range(0x200B, 0x2010))
    | set(range(0x202A, 0x202F))
    | set(range(0x2060, 0x2070))
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
CHUNKS = st.lists(st.integers(0, 10**6), max_size=8)


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


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from(FRAGMENTS)), max_size=12), CHUNKS)
def test_whatever_arrives_only_harmless_characters_come_out_and_chunks_do_not_matter(fragments, cuts):
    data = b"".join(fragments)
    sanitiser = Sanitiser()
    text = "".join(sanitiser.feed(piece) for piece in pieces(data, cuts)) + sanitiser.feed(b"", final=True)
    assert not [character for character in text if ord(character) in HOSTILE]
    assert text == reference(data)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200))
def test_plain_text_is_left_as_it_is(text):
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
def test_what_a_person_sees_of_it(data, shown):
    assert Sanitiser().feed(data, final=True) == shown


def test_a_sequence_without_end_is_held_only_for_a_while():
    sanitiser = Sanitiser()
    text = sanitiser.feed(b"\x1b]")
    for _ in range(20):
        text += sanitiser.feed(b"A" * 1000)
        assert len(sanitiser._held) <= LONGEST_SEQUENCE + 2
    assert text.startswith("␛]AAAA")
    assert len(text) == 20_002


def test_hostile_text_costs_no_more_than_its_length():
    """64 kB of introducers without an end, in about the time that 64 kB of anything take."""
    for hostile in (b"\xc2\x90", b"\x1b]", b"\x1bP", b"\x1b[", b"\x1b ", b"\r"):
        started = time.process_time()
        Sanitiser().feed(hostile * 32_000, final=True)
        assert time.process_time() - started < 1


def test_one_line_of_foreign_text_is_short_and_safe():
    assert one_line("Permission\r\n\x1b[2Jdenied\n") == "Permission denied"
    assert one_line("x" * 1000, 10) == "x" * 9 + "…"
    assert make_safe("a\x1b]0;t\x07\udc9bb") == "a?b"


SECRET = "p4ss'w\"rd/+ ü1"


@pytest.mark.parametrize(
    "spelt",
    [
        pytest.param(SECRET.encode(), id="raw"),
        pytest.param(base64.b64encode(SECRET.encode()), id="base64"),
        pytest.param(base64.b64encode(b"u:" + SECRET.encode()), id="base64 behind two bytes"),
        pytest.param(base64.b64encode(b"user" + SECRET.encode() + b"@host"), id="base64 within"),
        pytest.param(base64.urlsafe_b64encode(b"x" + SECRET.encode()), id="base64 for URLs"),
        pytest.param(SECRET.encode().hex().encode(), id="hex"),
        pytest.param(SECRET.encode().hex().upper().encode(), id="HEX"),
        pytest.param(urllib.parse.quote(SECRET, safe="").encode(), id="URL"),
        pytest.param(urllib.parse.quote_plus(SECRET).encode(), id="form"),
        pytest.param(json.dumps(SECRET).encode(), id="JSON"),
        pytest.param(json.dumps(SECRET, ensure_ascii=False).encode(), id="JSON with UTF-8"),
        pytest.param(shlex.quote(SECRET).encode(), id="shell"),
    ],
)
def test_a_secret_is_hidden_in_every_spelling_and_any_chunks(spelt):
    secrets = Redactor([SECRET])
    whole = secrets.stream().feed(b"<" + spelt + b">", final=True)
    stream = secrets.stream()
    parts = b"".join(stream.feed(bytes([byte])) for byte in b"<" + spelt + b">") + stream.feed(b"", final=True)
    assert parts == whole
    assert b"[secret]" in whole
    assert whole.startswith(b"<")
    assert whole.endswith(b">")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet="ab1", min_size=4, max_size=9), min_size=1, max_size=3),
    st.lists(st.sampled_from([b"a", b"b", b"1", b"ab1a", b"x"]), max_size=40),
    CHUNKS,
)
def test_chunks_do_not_change_what_is_hidden_however_the_secrets_overlap(chosen, fragments, cuts):
    secrets = Redactor(chosen)
    data = b"".join(fragments)
    stream = secrets.stream()
    parts = b"".join(stream.feed(piece) for piece in pieces(data, cuts)) + stream.feed(b"", final=True)
    assert parts == secrets.stream().feed(data, final=True)
    assert not [secret for secret in chosen if secret.encode() in parts.replace(b"[secret]", b"|")]


def test_each_line_of_a_secret_is_one():
    assert Redactor(["BEGIN\nfirst-line\nEND"]).text("  first-line\r\n") == "  [secret]\r\n"


def test_a_secret_that_becomes_known_later_is_hidden_from_then_on():
    secrets = Redactor()
    stream = secrets.stream()
    assert stream.feed(b"hunter2!") == b"hunter2!"
    secrets.add("hunter2!")
    assert stream.feed(b"hunter2!", final=True) == b"[secret]"


def test_only_what_may_become_a_secret_is_held_back():
    stream = Redactor(["secret-word"]).stream()
    assert stream.feed(b"50% done, sec") == b"50% done, "
    assert stream.feed(b"onds left") == b"seconds left"


def test_something_too_short_to_be_a_secret_leaves_the_log_readable():
    assert Redactor(["", "abc"]).text("abc and so on") == "abc and so on"


class Written:
    def __init__(self):
        self.text = {"out": "", "err": ""}

    def write(self, text, stream="out"):
        self.text[stream] += text


def test_a_safe_sink_hides_first_and_makes_safe_then_each_stream_by_itself():
    """A secret cut in two by the other stream is found, and one that an escape sequence hides in is, too."""
    written = Written()
    sink = SafeSink(written, Redactor(["tok3n-value"]))
    sink.write(b"\x1b[1mtok3n-")
    sink.write(b"\xe2\x9c", "err")
    sink.write(b"value\x1b[0m ok\r")
    sink.write(b"\x93 tok3n-v", "err")
    sink.finish()
    assert written.text == {"out": "[secret] ok\n", "err": "✓ tok3n-v"}


def test_plain_output_passes_as_it_is():
    chunk = b"2026-11-23T10:15:00Z INFO web[1234]: request id=8f3a took 12 ms status=200\n" * 800
    sink = SafeSink(Written(), Redactor(["k3yXyAbC9dFghT5tVw2q", "s3cr3t/with'quote", "another-secret-01"]))
    passed = []
    sink._sink.write = lambda text, _stream: passed.append(text)
    best = 10.0
    for _ in range(20):
        started = time.perf_counter()
        sink.write(chunk)
        best = min(best, time.perf_counter() - started)
    sink.finish()
    print(f"\nplain output: {len(chunk) / best / 1e6:.0f} MB/s")
    assert "".join(passed) == chunk.decode() * 20
