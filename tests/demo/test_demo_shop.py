"""The shops of the demo tell real numbers, and a fault of a release shows in them after it and nowhere else."""

from __future__ import annotations

import asyncio
import http.client
import re
import shutil
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from statistics import mean

import pytest
from demo_client import fetch, ssh, wait_until, web_port
from prometheus_client.parser import text_string_to_metric_families

from canary_tui.demo.fleet import TARGETS
from canary_tui.demo.launch import Demo, start_demo
from canary_tui.demo.load import PAUSE
from canary_tui.demo.metrics import BOUNDS, Metrics

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")

SAMPLE = re.compile(
    r'[a-z_]+(\{[a-z]+="([^"\\\n]|\\[\\n"])*"(,[a-z]+="([^"\\\n]|\\[\\n"])*")*\})? (\d+|\d+\.\d+(e-\d+)?)'
)
PAGES = 60
FAULTY = {"web-1": "slow20", "web-2": "errors", "web-3": "leak"}
SOUND = "web-4"
"""A target that gets the new release, too, and has no fault."""


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """A demo that nobody visits: what is counted is what these tests ask for."""
    with start_demo(None, [f"{target}:{fault}" for target, fault in FAULTY.items()], visitors=False) as running:
        yield running


def ask_for_pages(demo: Demo, *targets: str, times: int = PAGES) -> None:
    """Ask each target so often, all of them at the same time: what slows the machine down slows all of them down."""
    ports = [web_port(demo, target) for target in targets]
    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(lambda port: fetch(port, "/")[0], ports * times))
    assert set(statuses) <= {200, 500}


def numbers(demo: Demo, target: str) -> dict[str, float]:
    """The samples of a target's `/metrics`, by name and labels."""
    text = fetch(web_port(demo, target), "/metrics")[1]
    return {
        sample.name + "".join(f" {label}={value}" for label, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def stats(demo: Demo, target: str, *questions: str) -> list[str]:
    """The answers of the target's `shop-stats`, by the real ssh."""
    done = ssh(demo, target, "".join(f"shop-stats {question} | tail -n 1\n" for question in questions))
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


def errors_and_memory(demo: Demo, targets: Iterable[str]) -> tuple[dict[str, int], dict[str, float]]:
    """The errors of each target, and its megabytes."""
    answers = {target: stats(demo, target, "errors", "memory") for target in targets}
    return {name: int(one[0]) for name, one in answers.items()}, {name: float(one[1]) for name, one in answers.items()}


def release(demo: Demo, targets: Iterable[str], name: str) -> None:
    """Lay a release out and switch to it."""
    switch = f"unpack-shop {name} && ln -sfn releases/{name} ~/current && restart-shop"
    with ThreadPoolExecutor(4) as operators:
        done = list(operators.map(lambda target: ssh(demo, target, switch).returncode, targets))
    assert set(done) == {0}


def milliseconds(demo: Demo, target: str) -> list[float]:
    """The time of each page since the shop started."""
    lines = (demo.folder / target / "shop.log").read_text().rpartition(" start ")[2].splitlines()[1:]
    return [float(line.split()[2]) for line in lines]


def pace(times: list[float]) -> float:
    """The mean of the faster half: the other half may have waited for a processor."""
    return mean(sorted(times)[: len(times) // 2])


def paces(demo: Demo, targets: Iterable[str]) -> dict[str, float]:
    """Of each target, over all pages since the start of its shop."""
    times = {target: milliseconds(demo, target) for target in targets}
    assert {len(one) for one in times.values()} == {PAGES}
    return {target: pace(one) for target, one in times.items()}


def test_prometheus_reads_the_metrics_and_each_has_its_help_and_type(demo: Demo) -> None:
    ask_for_pages(demo, "web-5", times=8)
    with urllib.request.urlopen(f"http://127.0.0.1:{web_port(demo, 'web-5')}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.read().decode()
    assert all(SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("# ")), text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        "http_requests": "counter",
        "http_errors": "counter",
        "http_request_duration_seconds": "histogram",
        "shop_memory_bytes": "gauge",
        "shop_info": "gauge",
    }
    assert all(family.documentation.endswith(".") for family in families.values())
    assert families["shop_info"].samples[0].labels == {"release": "1.4.1", "instance": "web-5"}
    buckets = [one for one in families["http_request_duration_seconds"].samples if one.name.endswith("_bucket")]
    assert [float(one.labels["le"]) for one in buckets] == [*BOUNDS, float("inf")]
    assert all(first.value <= second.value for first, second in pairwise(buckets))


def test_a_release_of_any_name_is_told_to_prometheus_as_it_is() -> None:
    name = 'a "good" one\\n,\nrelease="2"} \u00fc'
    [info] = [
        family
        for family in text_string_to_metric_families(Metrics().text("web-1", name, 1))
        if family.name == "shop_info"
    ]
    assert info.samples[0].labels == {"release": name, "instance": "web-1"}


@needs_ssh
def test_a_shop_without_traffic_says_so(demo: Demo) -> None:
    *others, memory = stats(demo, "db-1", "requests", "errors", "mean", "p50", "p99", "memory")
    assert others == ["0", "0", "NaN", "NaN", "NaN"]
    assert 60 < float(memory) < 70
    assert numbers(demo, "db-1")["http_requests_total code=200"] == 0


@needs_ssh
def test_the_numbers_are_those_of_the_requests_that_were_sent(demo: Demo) -> None:
    """A page counts once, and who only watches the service counts as nothing."""
    begun = time.monotonic()
    ask_for_pages(demo, "db-2", times=25)
    spent = time.monotonic() - begun
    for path in ("/health", "/metrics", "/health?deep=1"):
        fetch(web_port(demo, "db-2"), path)
    told = numbers(demo, "db-2")
    assert [told[f"http_requests_total code={code}"] for code in (200, 500)] == [25, 0]
    assert told["http_errors_total"] == 0
    assert told["http_request_duration_seconds_count"] == told["http_request_duration_seconds_bucket le=+Inf"] == 25
    assert told["http_request_duration_seconds_bucket le=0.015"] == 0
    assert 25 * 0.017 < told["http_request_duration_seconds_sum"] < spent * 8
    times = sorted(milliseconds(demo, "db-2"))
    assert len(times) == 25
    answers = stats(demo, "db-2", "requests", "requests --last 10m", "errors", "p50", "p99", "mean")
    assert answers[:-1] == ["25", "25", "0", f"{times[12]}", f"{times[24]}"]
    assert float(answers[-1]) == pytest.approx(mean(times), abs=0.01)


@needs_ssh
@pytest.mark.alone
def test_a_fault_of_a_release_shows_after_the_release_and_on_its_target_alone(demo: Demo) -> None:
    shops = [*FAULTY, SOUND]
    ask_for_pages(demo, *shops)
    before = paces(demo, shops)
    assert max(before.values()) / min(before.values()) < 1.1  # targets differ a little by nature
    errors, memory = errors_and_memory(demo, shops)
    assert set(errors.values()) == {0}
    assert max(memory.values()) < 70

    release(demo, shops, "1.4.2")
    ask_for_pages(demo, *shops)
    slower = {name: now / before[name] for name, now in paces(demo, shops).items()}
    assert 1.12 < slower["web-1"] < 1.3
    assert 0.92 < slower["web-2"] < 1.08
    assert 0.92 < slower[SOUND] < 1.08
    assert slower["web-3"] > 1.02
    leaking = milliseconds(demo, "web-3")
    assert pace(leaking[PAGES // 2 :]) > pace(leaking[: PAGES // 2])
    errors, memory = errors_and_memory(demo, shops)
    assert PAGES // 20 <= errors.pop("web-2") <= PAGES // 10
    assert set(errors.values()) == {0}
    assert memory.pop("web-3") > 90
    assert max(memory.values()) < 70
    told = {name: numbers(demo, name) for name in shops}
    assert told["web-2"]["http_errors_total"] == told["web-2"]["http_requests_total code=500"] >= PAGES // 20
    assert told["web-3"]["shop_memory_bytes"] > 90e6
    assert told["web-1"]["shop_info release=1.4.2 instance=web-1"] == 1

    release(demo, FAULTY, "1.4.1")
    ask_for_pages(demo, *FAULTY)
    assert all(now / before[name] < 1.05 for name, now in paces(demo, FAULTY).items())
    errors, memory = errors_and_memory(demo, FAULTY)
    assert set(errors.values()) == {0}
    assert max(memory.values()) < 70


@needs_ssh
def test_a_log_that_cannot_be_written_costs_no_page(demo: Demo) -> None:
    log = demo.folder / "stage-1/shop.log"
    log.unlink()
    log.mkdir()
    assert fetch(web_port(demo, "stage-1"), "/")[0] == 200
    assert numbers(demo, "stage-1")["http_requests_total code=200"] == 1


def test_a_page_that_nobody_waits_for_and_what_is_no_request_disturb_nobody(demo: Demo) -> None:
    async def disturb(*requests: bytes) -> list[bytes]:
        answers = []
        for request in requests:
            reader, writer = await asyncio.open_connection("127.0.0.1", web_port(demo, "stage-1"))
            writer.write(request)
            writer.write_eof()
            try:
                answers.append(await reader.read())
            except ConnectionError:
                answers.append(b"")
            writer.close()
        return answers

    answers = asyncio.run(asyncio.wait_for(disturb(b"\r\n\r\n", b"GET", b"\x16\x03\x01" * 40_000), 30))
    assert answers == [b"", b"", b""]
    assert fetch(web_port(demo, "stage-1"), "/health")[0] == 200


def test_a_connection_is_kept_for_who_asks_for_that_and_for_nobody_else(demo: Demo) -> None:
    kept = http.client.HTTPConnection("127.0.0.1", web_port(demo, "stage-1"), timeout=10)
    for path in ("/health", "/", "/metrics"):
        kept.request("GET", path, headers={"Connection": "keep-alive"})
        answer = kept.getresponse()
        assert answer.read()
        assert answer.headers["Connection"] == "keep-alive"
        assert kept.sock is not None
    kept.request("POST", "/", b"x" * 100, headers={"Connection": "keep-alive"})
    answer = kept.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    kept.close()


def test_visitors_ask_every_shop_a_few_times_a_second_and_get_good_answers() -> None:
    with start_demo() as demo:
        wait_until(lambda: all(numbers(demo, target)["http_requests_total code=200"] >= 4 for target in TARGETS), 30)
        assert all(numbers(demo, target)["http_errors_total"] == 0 for target in TARGETS)
        logs = [(demo.folder / target / "shop.log").read_text().splitlines()[1:] for target in TARGETS]
    times = [[float(line.split()[0]) for line in lines] for lines in logs]
    assert min(later - earlier for one in times for earlier, later in pairwise(one)) > PAUSE / 2


def test_nobody_visits_where_nobody_is_wanted(demo: Demo) -> None:
    told = numbers(demo, "web-5")
    assert told["http_request_duration_seconds_count"] in {0, 8}  # those of the test above that asks it
