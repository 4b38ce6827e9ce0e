"""A front that starts a rollout and then does nothing: `dead_front.py STATE FLEET read|stall`. It says the engine's pid."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fronts import ANN, environment, plan_of, words

from canary_tui.engine.messages import Start, to_line


async def main(state: Path, fleet: Path, manner: str) -> None:
    ours, theirs = socket.socketpair()
    engine = subprocess.Popen(
        words("_serve", "--fd", theirs.fileno()), env=environment(state), pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    theirs.close()
    ours.sendall(to_line(Start(plan_of(fleet, "1.1"), ANN)))
    print(engine.pid, flush=True)
    if manner == "read":
        while await asyncio.to_thread(ours.recv, 1 << 16):
            pass
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
