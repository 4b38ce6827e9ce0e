"""`python -m canary_tui` and the `canary-tui` command."""

from __future__ import annotations

import sys

from canary_tui.cli.main import run


def main() -> None:
    """Run the command line and end with its exit code: the only sys.exit."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
