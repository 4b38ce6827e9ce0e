"""What a person sees and hears who looks at another window: the title, and a bell where that was asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from farm import Farm
from marks import DEPLOY, fleet_file
from on_screen import Terminal, answer_gate, run, start

_COMMAND = re.compile(rb"\x1b\](.*?)(\x07|\x1b\\)")
"""What is said to the terminal's window, and how it may end: one of the ways is a bell that does not ring."""


def everything(screen: Terminal) -> bytearray:
    """All that the terminal is sent from now on."""
    sent, pump = bytearray(), screen.pump

    def keeping(seconds: float) -> list[tuple[float, bytes]]:
        came = pump(seconds)
        for _, piece in came:
            sent.extend(piece)
        return came

    screen.pump = keeping  # type: ignore[method-assign]  # a tap on this one terminal
    return sent


def titles(sent: bytearray) -> list[str]:
    said = (command.decode() for command, _ in _COMMAND.findall(bytes(sent)))
    return [command[2:] for command in said if command.startswith("2;")]


def bells(sent: bytearray) -> int:
    return _COMMAND.sub(b"", bytes(sent)).count(b"\x07")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_title_says_what_waits_and_a_bell_rings_once_for_it_where_it_is_wanted(
    farm: Farm, state: Path, tmp_path: Path, wanted: bool
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"[terminal]\nbell = {str(wanted).lower()}\n")
    with run(state, fleet_file(farm, DEPLOY), "--canary", "web-1", CANARY_TUI_CONFIG=str(config)) as screen:
        sent = everything(screen)
        start(screen)
        screen.until(lambda: titles(sent)[-1:] == ["shop 2.0: GATE waiting"])
        screen.read()
        assert bells(sent) == wanted
        answer_gate(screen, 3)
        screen.until(lambda: titles(sent)[-1:] == ["shop 2.0: succeeded"])
        screen.read()
        screen.press("q")
        assert screen.ended() == 0
    assert bells(sent) == wanted
    assert sent.index(b"\x1b[22;2t") < sent.index(b"\x1b]2;")
    assert sent.rindex(b"\x1b[?1049l") < sent.index(b"\x1b[23;2t"), "the terminal's own title comes back"
