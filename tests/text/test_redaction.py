"""Secrets are in no output, however they are spelt and wherever the chunks are cut."""

from __future__ import annotations

import base64
import json
import shlex
import time
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_pieces import CHUNKS, pieces

from canary_tui.text.secrets import Redactor
from canary_tui.text.sink import SafeSink, Stream

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
def test_a_secret_is_hidden_in_every_spelling_and_any_chunks(spelt: bytes) -> None:
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
def test_chunks_do_not_change_what_is_hidden_however_the_secrets_overlap(
    chosen: list[str], fragments: list[bytes], cuts: list[int]
) -> None:
    secrets = Redactor(chosen)
    data = b"".join(fragments)
    stream = secrets.stream()
    parts = b"".join(stream.feed(piece) for piece in pieces(data, cuts)) + stream.feed(b"", final=True)
    assert parts == secrets.stream().feed(data, final=True)
    assert not [secret for secret in chosen if secret.encode() in parts.replace(b"[secret]", b"|")]


def test_each_line_of_a_secret_is_one() -> None:
    assert Redactor(["BEGIN\nfirst-line\nEND"]).text("  first-line\r\n") == "  [secret]\r\n"


def test_a_secret_that_becomes_known_later_is_hidden_from_then_on() -> None:
    secrets = Redactor()
    stream = secrets.stream()
    assert stream.feed(b"hunter2!") == b"hunter2!"
    secrets.add("hunter2!")
    assert stream.feed(b"hunter2!", final=True) == b"[secret]"


def test_only_what_may_become_a_secret_is_held_back() -> None:
    stream = Redactor(["secret-word"]).stream()
    assert stream.feed(b"50% done, sec") == b"50% done, "
    assert stream.feed(b"onds left") == b"seconds left"


def test_something_too_short_to_be_a_secret_leaves_the_log_readable() -> None:
    assert Redactor(["", "abc"]).text("abc and so on") == "abc and so on"


class Passed:
    """Takes everything as it comes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str, stream: Stream = "out") -> None:
        self.texts.append(text)


class Written:
    def __init__(self) -> None:
        self.text = {"out": "", "err": ""}

    def write(self, text: str, stream: Stream = "out") -> None:
        self.text[stream] += text


def test_a_safe_sink_hides_first_and_makes_safe_then_each_stream_by_itself() -> None:
    """A secret cut in two by the other stream is found, and one that an escape sequence hides in is, too."""
    written = Written()
    sink = SafeSink(written, Redactor(["tok3n-value"]))
    sink.write(b"\x1b[1mtok3n-")
    sink.write(b"\xe2\x9c", "err")
    sink.write(b"value\x1b[0m ok\r")
    sink.write(b"\x93 tok3n-v", "err")
    sink.finish()
    assert written.text == {"out": "[secret] ok\n", "err": "✓ tok3n-v"}


def test_plain_output_passes_as_it_is() -> None:
    chunk = b"2026-11-23T10:15:00Z INFO web[1234]: request id=8f3a took 12 ms status=200\n" * 800
    passed = Passed()
    sink = SafeSink(passed, Redactor(["k3yXyAbC9dFghT5tVw2q", "s3cr3t/with'quote", "another-secret-01"]))
    best = 10.0
    for _ in range(20):
        started = time.perf_counter()
        sink.write(chunk)
        best = min(best, time.perf_counter() - started)
    sink.finish()
    print(f"\nplain output: {len(chunk) / best / 1e6:.0f} MB/s")
    assert "".join(passed.texts) == chunk.decode() * 20
