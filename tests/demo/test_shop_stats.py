"""`shop-stats` prints the number that its log tells, in every shell and by every awk that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from canary_tui.demo import access_log
from canary_tui.demo.access_log import AccessLog

PROGRAM = Path(access_log.__file__).with_name("stats.sh")
AWKS = {name: found for name in ("mawk", "gawk", "original-awk", "busybox", "awk") if (found := shutil.which(name))}
SHELLS = [shell for shell in ("dash", "bash", "busybox sh", "sh") if shutil.which(shell.split(maxsplit=1)[0])]
TIMES = [19.9, 21.0, 20.4, 18.2, 22.5, 20.0, 150.0, 19.1]


def shop_stats(home: Path, *arguments: str, shell: str = "sh", path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [*shell.split(), PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=30
    )


def written(home: Path, *lines: tuple[float, str], name: str = "shop.log") -> None:
    """A log with lines of so many seconds ago."""
    now = time.time()
    (home / name).write_text("".join(f"{now - age:.3f} {words}\n" for age, words in lines))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A target's home: its shop has run for an hour, started anew 90 seconds ago, and failed once since."""
    written(tmp_path, (4000, "200 99.0 1000000"), (200, "500 99.0 1000000"), name="shop.log.1")
    pages = [(45 - index, f"200 {ms} 64000000") for index, ms in enumerate(TIMES)]
    lines = [(100, "500 99.0 2000000"), (90, "start - 3000000 shop 1.4.2"), (80, "500 40.0 64000000"), *pages]
    written(tmp_path, *lines, (5, "200 20.0 65500000"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        pytest.param("requests", "9", id="the last minute"),
        pytest.param("requests --last 10s", "1", id="another time"),
        pytest.param("requests --last 2m", "10", id="minutes, no longer than it runs"),
        pytest.param("requests --last 10m", "10", id="as long as it runs"),
        pytest.param("requests --last 0s", "0", id="no time at all"),
        pytest.param("errors", "0", id="no errors"),
        pytest.param("errors --last 2m", "1", id="an error"),
        pytest.param("mean --last 10s", "20.00", id="mean of one"),
        pytest.param("mean --last 2m", "35.11", id="mean"),
        pytest.param("p50 --last 2m", "20.0", id="median"),
        pytest.param("p99 --last 2m", "150.0", id="slowest of a few"),
        pytest.param("p99 --last 1s", "NaN", id="of nothing"),
        pytest.param("memory", "65.5", id="memory"),
        pytest.param("memory --last 1s", "65.5", id="memory without traffic"),
    ],
)
def test_each_number_is_that_of_the_log(home: Path, arguments: str, number: str) -> None:
    done = shop_stats(home, *arguments.split())
    assert (done.stdout, done.stderr, done.returncode) == (f"{number}\n", "", 0)


@pytest.mark.parametrize("awk", AWKS)
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_and_every_awk_print_the_same(home: Path, tmp_path: Path, shell: str, awk: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/awk").symlink_to(AWKS[awk])
    for number, expected in {"requests": "10", "errors": "1", "p99": "150.0", "mean": "35.11"}.items():
        done = shop_stats(home, number, "--last", "2m", shell=shell, path=str(tmp_path / "bin"))
        assert (done.stdout, done.stderr) == (f"{expected}\n", ""), number


def test_a_shop_that_has_never_run_has_no_requests(tmp_path: Path) -> None:
    asked = ("requests", "errors", "mean", "p99", "memory")
    assert [shop_stats(tmp_path, one).stdout for one in asked] == ["0\n", "0\n", "NaN\n", "NaN\n", "NaN\n"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param("", "name one number, and a time after --last", id="nothing"),
        pytest.param("latency", "there is no number 'latency'", id="unknown number"),
        pytest.param("p99 --since 5m", "there is no option '--since'", id="unknown option"),
        pytest.param("p99 --last", "name one number, and a time after --last", id="no time"),
        pytest.param("p99 --last 1h", "'1h' is not a time such as 60s or 5m", id="no such unit"),
        pytest.param("p99 --last -5s", "'-5s' is not a time", id="negative"),
        pytest.param("p99 --last 11m", "'11m' is longer than 10m", id="too many minutes"),
        pytest.param("p99 --last 601s", "'601s' is longer than 10m", id="too many seconds"),
    ],
)
def test_what_it_does_not_know_is_said_and_prints_no_number(home: Path, arguments: str, words: str) -> None:
    done = shop_stats(home, *arguments.split())
    assert (done.stdout, done.returncode) == ("", 2)
    assert done.stderr.startswith(f"shop-stats: {words}")
    assert "\nusage: shop-stats NUMBER [--last 60s]\n" in done.stderr


def test_it_takes_little_of_the_processor_also_with_the_longest_log(tmp_path: Path) -> None:
    """It runs every few seconds on each target, and the demo's targets share one machine."""
    lines = [(600 - index / 4, f"200 {20 + index % 7 / 10} 64000000") for index in range(2400)]
    written(tmp_path, *lines, name="shop.log.1")
    written(tmp_path, *lines)
    before = os.times()
    assert [shop_stats(tmp_path, "p99", "--last", "10m").stdout for _ in range(10)] == ["20.6\n"] * 10
    spent = os.times()
    assert spent.children_user + spent.children_system - before.children_user - before.children_system < 10 * 0.05


def test_a_log_is_followed_by_a_new_one_and_the_one_before_is_kept(tmp_path: Path) -> None:
    """The file cannot grow for ever, and nothing of the last ten minutes is lost."""
    log = AccessLog(tmp_path / "shop.log", kept=0)
    for number in range(5):
        log.answered(200, 0.02, number)
    files = [(tmp_path / name).read_text().split()[1:] for name in ("shop.log.1", "shop.log")]
    assert files == [["200", "20.0", "3"], ["200", "20.0", "4"]]
    log = AccessLog(tmp_path / "shop.log")
    for number in range(5):
        log.answered(200, 0.02, number)
    assert len((tmp_path / "shop.log").read_text().splitlines()) == 5
    assert shop_stats(tmp_path, "requests").stdout == "6\n"
