"""What a terminal must be able to do, and what never reaches it."""

from __future__ import annotations

import io
from typing import TextIO

import pytest
from rich.segment import Segment
from textual.color import Color

from canary_tui.tui.terminal import StripControls, colourless, few_colours, one_line, refusal, speak_utf8, title


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "terminals", "words"),
    [
        pytest.param({"TERM": "xterm-256color"}, [Terminal(), Terminal()], "", id="a terminal"),
        pytest.param({"TERM": "dumb"}, [Terminal()], "TERM is dumb", id="dumb"),
        pytest.param({}, [Terminal()], "TERM is not set", id="no TERM"),
        pytest.param({"TERM": "xterm"}, [Terminal(), io.StringIO()], "not a terminal", id="a pipe"),
        pytest.param({"TERM": "xterm"}, [None], "not a terminal", id="closed"),
    ],
)
def test_a_terminal_that_cannot_show_screens_is_refused_with_the_way_out(
    environ: dict[str, str], terminals: list[TextIO | None], words: str
) -> None:
    text = refusal(environ, terminals)
    assert words in text
    assert bool(text) == bool(words)
    assert ("--headless" in text) == bool(words)


def test_only_a_value_of_no_color_asks_for_no_colour() -> None:
    assert colourless({"NO_COLOR": "1"})
    assert not colourless({"NO_COLOR": ""})
    assert not colourless({})


@pytest.mark.parametrize(
    "evil",
    ["\x1b]52;c;cm0gLXJm\x07", "\x1b[2J", "\x9b2J", "\x1b]0;title\x07", "a\rb", "a\x00b", "x\u202ey", "\u2028"],
)
def test_no_control_character_passes_the_last_net(evil: str) -> None:
    (segment,) = StripControls().apply([Segment(f"before{evil}after")], Color(0, 0, 0))
    assert segment.text.isprintable()
    assert segment.text.startswith("before")
    assert segment.text.endswith("after")
    assert one_line(evil).isprintable()


def test_harmless_text_is_the_same_object() -> None:
    segments = [Segment("web-1 ● ok"), Segment("日本")]
    assert StripControls().apply(segments, Color(0, 0, 0)) is segments


def test_an_ascii_locale_is_made_to_speak_utf8() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    speak_utf8(stream)
    assert stream.encoding == "utf-8"


def test_a_title_takes_no_command_from_the_words_in_it() -> None:
    assert title("shop \x1b]0;x\x07 1\u202e.4") == "\x1b]2;shop  ]0;x  1 .4\x1b\\"


@pytest.mark.found("M14")
@pytest.mark.parametrize(
    ("environ", "few"),
    [
        *(
            pytest.param({"TERM": term}, True, id=term)
            for term in ("linux", "xterm", "screen", "vt100", "xterm-16color")
        ),
        pytest.param({"TERM": "xterm", "COLORTERM": "truecolor"}, False, id="COLORTERM"),
        pytest.param({"TERM": "xterm-256color"}, False, id="256 colours"),
        pytest.param({"TERM": "xterm-kitty"}, False, id="kitty"),
    ],
)
def test_a_terminal_of_few_colours_is_known_by_its_name(environ: dict[str, str], few: bool) -> None:
    """M14."""
    assert few_colours(environ) == few
