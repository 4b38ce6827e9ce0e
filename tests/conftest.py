"""What every test may use: the helper modules beside this file, and real OpenSSH servers."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
