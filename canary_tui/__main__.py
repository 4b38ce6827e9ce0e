"""`python -m canary_tui` and the `canary-tui` command."""

from __future__ import annotations

import sys

from canary_tui.cli.main import run
from canary_tui.cli.streams import prepare_streams


def main() -> None:
    """Run the command line and end with its exit code: the only sys.exit."""
    prepare_streams()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
