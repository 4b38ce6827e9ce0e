"""What every test may use: the helper modules beside this file, and real OpenSSH servers."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Generator

import hypothesis
import pytest

hypothesis.settings.register_profile("ci", derandomize=True)  # a change is judged by what it changed, not by luck
if os.environ.get("CANARY_TUI_CI"):
    hypothesis.settings.load_profile("ci")

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CANARY_TUI_CI says that everything is installed, a test that is skipped for want of it has failed."""
    report = yield
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if os.environ.get("CANARY_TUI_CI") and ("install" in reason or "root" in reason):
        report.outcome, report.longrepr = "failed", f"skipped, and here it must not be: {reason}"
    return report
