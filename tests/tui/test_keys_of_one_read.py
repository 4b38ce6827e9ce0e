"""What comes from the terminal in one read has one time, however busy the program is between two keys of it."""

from __future__ import annotations

import time
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any

import pytest
from textual.driver import Driver
from textual.drivers import linux_driver
from textual.events import Key
from textual.message import Message

from canary_tui.tui.textual_fixes import _Input, apply_fixes, leaving_below


class Reading(Driver):
    """Has nothing but the keys that the driver's thread hands in."""

    def __init__(self) -> None:
        self.keys: list[Message] = []

    def process_message(self, message: Message) -> None:
        self.keys.append(message)

    def write(self, data: str) -> None: ...
    def start_application_mode(self) -> None: ...
    def disable_input(self) -> None: ...
    def stop_application_mode(self) -> None: ...


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    """A driver of the app's kind; what other tests read is forgotten."""
    monkeypatch.setattr(_Input, "read_at", 0.0)
    driver: Any = leaving_below(Reading)
    yield driver()


def test_a_paste_is_no_typing_where_the_program_was_busy_in_the_middle_of_it(reading: Reading) -> None:
    """F2: the enter behind a pasted number comes at the number's own time."""
    _Input("utf-8").decode(b"3\r")
    reading.process_message(Key("3", "3"))
    time.sleep(0.05)  # a paint that holds the interpreter
    reading.process_message(Key("enter", "\r"))
    _Input("utf-8").decode(b"x")
    reading.process_message(Key("x", "x"))
    number, enter, later = (key.time for key in reading.keys)
    assert number == enter
    assert later - enter >= 0.05


def test_the_drivers_thread_decodes_by_it() -> None:
    """As the driver asks for its decoder: a byte that is no text is replaced."""
    apply_fixes()
    assert linux_driver.getincrementaldecoder is not getincrementaldecoder  # type: ignore[attr-defined]  # its own import
    before = time.monotonic()
    decode = linux_driver.getincrementaldecoder("utf-8")().decode  # type: ignore[attr-defined]
    assert decode(b"a\xff", final=True) == "a\ufffd"
    assert before <= _Input.read_at <= time.monotonic()
