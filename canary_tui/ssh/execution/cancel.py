"""Stops an execution on the target, or makes sure that it never starts, and reports what the target saw of that."""

from __future__ import annotations

import contextlib
import math
import time

from canary_tui.engine.target import CancelReport
from canary_tui.ssh.connection.connect import LinkError
from canary_tui.ssh.execution.durable import checked_execution
from canary_tui.ssh.execution.evidence import elsewhere, how_lost, number
from canary_tui.ssh.execution.install import ANSWER, RunnerError, ask
from canary_tui.ssh.execution.lines import Answer, LostError
from canary_tui.ssh.execution.patience import Pauses
from canary_tui.ssh.execution.protocol import RunnerLink
from canary_tui.text.safe import one_line

_NOT_STOPPED = {
    "no": "some of its processes are still there",
    "unrecorded": "it has ended, and the record of its processes is gone",
}


async def cancel(link: RunnerLink, execution: str, grace: float, boot: str = "") -> CancelReport:
    """Stop a step's process group, or make sure that it never starts, and say what was seen.

    `boot` is what the probe saw: a target that forgot all of it since cannot say that it never started.
    Where the step's own channel is the only one that the server opens on a connection, another connection is made.
    """
    checked_execution(execution)
    words, limit = f"cancel {{nonce}} {execution} {math.ceil(grace)}", grace + ANSWER
    give_up, pauses = time.monotonic() + limit, Pauses()
    async with contextlib.AsyncExitStack() as stack:
        own = link
        while True:
            try:
                return _cancelled(await ask(own, words, limit), boot)
            except LinkError as error:
                detail, final = one_line(error.detail), error.final
            except RunnerError as error:
                detail, final = error.detail, True
            except LostError as error:
                detail, final = error.detail, False
                if error.full and own is link:
                    own = await stack.enter_async_context(link.apart())
                    continue
            if final or time.monotonic() >= give_up:
                return CancelReport(confirmed=False, detail=detail)
            await pauses.next()


def _cancelled(answer: Answer, boot: str) -> CancelReport:
    fields = answer.fields
    if answer.word != "STATE":
        return CancelReport(confirmed=False, detail=one_line(answer.text))
    if left := _NOT_STOPPED.get(fields.get("stopped", "")):
        return CancelReport(confirmed=False, detail=left)
    match answer.first:
        case "void" if why := elsewhere(answer, boot):
            return CancelReport(confirmed=False, detail=f"{why}, and its record of this step is gone")
        case "void":
            return CancelReport(confirmed=True, detail="it was never started, and now it cannot be")
        case "done" if "stopped" not in fields:
            return CancelReport(confirmed=True, detail=f"it had ended before, with {number(fields.get('rc', ''))}")
        case "done":
            return CancelReport(confirmed=True, detail="its processes are gone, the target says")
        case "forgotten":
            return CancelReport(confirmed=True, detail="it had ended long ago")
        case "lost" if fields.get("why") == "reboot" or fields.get("stopped") == "yes":
            return CancelReport(confirmed=True, detail=how_lost({**fields, "child": "gone"}))
    return CancelReport(confirmed=False, detail=f"the target says: {one_line(answer.text)}")
