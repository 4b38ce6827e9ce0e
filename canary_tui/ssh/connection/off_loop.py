"""Does what may never return, such as reading from a dead file server, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def off_loop(do: Callable[[], Result], limit: float) -> Result:
    """The result of `do`, or TimeoutError after `limit` seconds; the thread is left to itself then.

    Threads of an executor would be waited for when the program ends, for ever.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # there is one where there is no error

    def work() -> None:
        result, error = None, None
        try:
            result = do()
        except Exception as raised:  # noqa: BLE001 - it is raised again where it is awaited
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody asks any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True, name="off-loop").start()
    async with asyncio.timeout(limit):
        return await done
