"""The app in a terminal of its own, for tests that look at what a real terminal is sent and given back.

in_terminal.py FLEET STATE [--crash] [ENGINE ARGUMENT ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from driving import scripted_engine

from canary_tui.domain.planning.build import Choices
from canary_tui.tui.app import CanaryApp, run_app
from canary_tui.tui.options import AppOptions

fleet, state, *engine = sys.argv[1:]
if "--crash" in engine:
    engine.remove("--crash")

    def action_help(self: CanaryApp) -> None:
        password = "hunter2"  # noqa: F841  must not be printed
        raise RuntimeError("a planted bug \x1b[2J")

    CanaryApp.action_help = action_help  # type: ignore[method-assign]  # the planted bug

options = AppOptions(Path(state), Path(fleet), choices=Choices("1.4.2", "production"), engine=scripted_engine(*engine))
code = run_app(options)
loaded = [name for name in ("asyncssh", "markdown_it") if name in sys.modules]
print(f"ended with {int(code)}; loaded {loaded}")
sys.exit(int(code))
