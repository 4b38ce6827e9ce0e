"""Weighs what a target says of an execution of which a part is gone: what it proves, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping

from canary_tui.ssh.execution.lines import Answer


def elsewhere(answer: Answer, boot: str) -> str:
    """The reason why a target that answers now is not the one that was in this boot and place; "" if it is."""
    said = answer.fields.get("boot", "")
    if said == (boot or said):
        return ""
    rebooted = said.partition(".")[0] != boot.partition(".")[0]
    return "the server rebooted since" if rebooted else "its runner's folder was emptied or is another one"


def how_lost(fields: Mapping[str, str]) -> str:
    """The traces of a step that left no exit record, in words."""
    if fields.get("why") == "reboot":
        return "the server rebooted during the step"
    cause = {
        "removed": "its record was removed there",
        "unreadable": "its record cannot be read there",
    }.get(fields.get("why", ""), "its supervisor was killed")
    match fields.get("child"):
        case "alive":
            return f"{cause}, the command is still running (pid {number(fields.get('pid', ''))})"
        case "gone":
            return f"{cause}; the command has ended since, and its exit code is lost"
    return f"{cause}, and no trace of its command was found"


def number(text: str) -> int:
    """A number that a target sent; -1 where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1
