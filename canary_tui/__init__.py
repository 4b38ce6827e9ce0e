"""canary_tui: rolls a release out to a fleet over plain SSH, canaries first."""

__version__ = "0.1.0"
