"""The app as the demo starts it: its engine is paced, because the targets share this machine's processors.

Run in the place of `python -m canary_tui`, with the same arguments.
"""

from __future__ import annotations

from dataclasses import replace

import measuring  # noqa: F401 -- puts the package on the path

from canary_tui.__main__ import main
from canary_tui.demo.launch import PACED_ENGINE
from canary_tui.tui import app

if __name__ == "__main__":
    run_app = app.run_app
    app.run_app = lambda options: run_app(replace(options, engine=PACED_ENGINE))
    main()
