"""Every mistake gets a message with its place and a hint, all of a file at once, and never a traceback."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from canary_tui.errors import FleetFileError, Problem
from canary_tui.fleetfile.loader import load_fleet
from canary_tui.fleetfile.report import problem_lines, render
from canary_tui.fleetfile.source import LARGEST, MOST_MARKS

BAD = Path(__file__).parent / "bad"
HEAD = 'name = "shop"\n'
REST = '[[targets]]\nname = "web-1"\n[[steps]]\nrun = "true"\n'


def message_of(path: str | Path) -> str:
    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)
    return render(caught.value.problems)


@pytest.mark.found("field 14", "field 16")
@pytest.mark.parametrize("path", sorted(BAD.glob("*.toml")), ids=lambda path: path.stem)
def test_a_bad_file_gets_exactly_the_message_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    assert message_of(path.name) == path.with_suffix(".expected").read_text()


def test_every_bad_file_has_its_expected_message() -> None:
    assert len(list(BAD.glob("*.toml"))) == len(list(BAD.glob("*.expected"))) >= 30


GENERATED = [
    pytest.param(HEAD + "a = " + "[" * 10_000, "nests too deep", id="arrays-10000-deep"),
    pytest.param(HEAD + "a = " + "{a=" * 10_000, "nests too deep", id="tables-10000-deep"),
    pytest.param(HEAD + "port = " + "9" * 10_000, "a number of 10,000 digits", id="number-of-10000-digits"),
    pytest.param(HEAD + "port = " + "9_" * 5_000 + "9", "a number of", id="number-with-underscores"),
    pytest.param(HEAD + "port = 0x" + "f" * 3_900, "unknown key 'port'", id="hexadecimal-number"),
    pytest.param(HEAD + "[ssh]\nport = 0x" + "f" * 3_900, "a number beyond 64 bits", id="hexadecimal-port"),
    pytest.param("a" + ".a" * 20_000 + " = 1\n", "a key of more than 8 parts", id="dotted-key-of-40-kB"),
    pytest.param("[" + "a." * 20_000 + "a]\n", "a key of more than 8 parts", id="dotted-header-of-40-kB"),
    pytest.param("x = {" + '"a" . ' * 20_000 + "a = 1}\n", "a key of more than 8 parts", id="dotted-inline-key"),
    pytest.param("a" * 1_000_000, "expected '=' after a key", id="key-without-an-end"),
    pytest.param(HEAD + 'a = "' + "x" * 1_000_000, "", id="string-without-an-end"),
    pytest.param("#" * LARGEST + "#", "larger than 4 MiB", id="just-too-large"),
    pytest.param(HEAD + 'a = "\0"', "illegal character", id="nul"),
    pytest.param(HEAD + REST + f'[vars]\nA = "{"x" * 40_000}"\n', "at most 32,768 characters", id="huge-variable"),
    pytest.param(HEAD + REST + f"{'k' * 5_000} = 1\n", "unknown key", id="huge-key"),
    pytest.param(HEAD + "steps = " + "[" * 90 + "]" * 90, "expected a table", id="ninety-deep"),
    pytest.param(
        HEAD + REST + "".join(f'[[waves]]\nname = "{i}"\n' for i in range(30_000)),
        "more than 100 waves",
        id="many-waves",
    ),
    pytest.param(
        HEAD + '[[targets]]\nname = "web-[1-10000]"\n[[steps]]\nrun = "true"\n'
        '[[waves]]\nname = "w"\ntargets = "' + " ".join(f"wbe-{i}" for i in range(1000)) + '"\n[[waves]]\nname = "x"\n',
        "unknown target 'wbe-19'; did you mean 'web-19'?",
        id="many-misspelt-names",
    ),
    pytest.param(HEAD + "".join(f'[[targets]]\nname = "a-{i}-[1-10000]"\n' for i in range(2000)), "in all", id="many"),
    pytest.param(HEAD + '[[targets]]\nname = "[1-10000]-[1-10000]"\n' * 5000, "more than 10,000", id="many-products"),
]


@pytest.mark.parametrize(("text", "expected"), GENERATED)
def test_a_bomb_gets_a_clear_message_within_two_seconds(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    started = time.process_time()
    message = message_of(path)
    assert time.process_time() - started < 2
    assert message.startswith(f"{path}:") and expected in message
    assert max(map(len, message.splitlines())) < 400 + len(str(path))


def cpu_of(load: Callable[[Path], object], path: Path) -> float:
    started = time.process_time()
    load(path)
    return time.process_time() - started


@pytest.fixture(scope="module")
def cpu_of_a_big_fleet(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds for 10,000 targets, each in a table with all that one usually has."""
    path = tmp_path_factory.mktemp("big") / "fleet.toml"
    entry = (
        '[[targets]]\nname = "web-{0}"\nhost = "10.{1}.{2}.1"\nroles = ["web-server", "canary"]\n'
        'tags = {{ zone = "eu-west-1a", rack = "r12", tier = "front" }}\nvars = {{ APP_HOME = "/srv", HEAP = "4g" }}\n'
        'ssh = {{ user = "deploy", port = 2222, jump = "bastion" }}\nenvironments = ["production"]\n\n'
    )
    entries = "".join(entry.format(i, i // 256, i % 256) for i in range(10_000))
    path.write_text(f'{HEAD}{entries}[environments.production]\n[[steps]]\nrun = "true"\n')
    assert len(load_fleet(path).fleet.targets) == 10_000
    return cpu_of(load_fleet, path)


SHAPES = [
    pytest.param("", "a{0:x}=1\n", "", id="keys"),
    pytest.param("[x.x.x.x.x.x.x.x]\n", "a{0:x}=1\n", "", id="keys-below-a-long-header"),
    pytest.param("[x.x.x.x.x.x.x.x]\n", "a{0:x}.b.c.d.e.f.g.h=1\n", "", id="dotted-keys-below-a-long-header"),
    pytest.param("", '"\\u0041{0:x}"=1\n', "", id="escaped-keys"),
    pytest.param("", "[a{0:x}]\n", "", id="tables"),
    pytest.param("", "[a{0:x}.b.c]\n", "", id="tables-in-tables"),
    pytest.param("", "[[a]]\n[[a.b]]\n[[a.b.c]]\n", "", id="arrays-of-tables"),
    pytest.param(HEAD, '[[targets]]\nname="w{0}"\n', "", id="targets"),
    pytest.param("a = [", "{{a.b.c.d.e.f.g.h=1}},", "]\n", id="inline-tables"),
    pytest.param("a = {", "a{0:x}.b=1,", "b=1}\n", id="one-inline-table"),
    pytest.param("a = [", "[[[[[[[[]]]]]]]],", "]\n", id="arrays-in-arrays"),
    pytest.param("a = [", "1979-05-27T07:32:00Z,", "]\n", id="times"),
    pytest.param('a = "', "\\n", '"\n', id="escapes"),
    pytest.param('a = """', '\\\n"x', '"""\n', id="long-strings"),
    pytest.param("", "#\n", "", id="comments"),
    pytest.param("a = [", "#\n", "]\n", id="comments-in-an-array"),
]


def filled(piece: str, room: int, marks: int) -> str:
    """The piece, with its number in it, as often as there is room for and as it may be parted."""
    marks_of_one = max(1, sum(map(piece.format(0).count, "=,.[{")))
    count = min(room // len(piece.format(2**19)), marks // marks_of_one)
    return "".join(map(piece.format, range(count)))


@pytest.mark.parametrize(("before", "piece", "after"), SHAPES)
def test_no_file_costs_much_more_than_the_biggest_fleet(
    before: str, piece: str, after: str, tmp_path: Path, cpu_of_a_big_fleet: float
) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(before + filled(piece, LARGEST - 100, MOST_MARKS - 100) + after)
    assert cpu_of(message_of, path) < 4 * cpu_of_a_big_fleet
    path.write_text(before + filled(piece, LARGEST - 100, LARGEST) + after)
    assert cpu_of(message_of, path) < 4 * cpu_of_a_big_fleet


def test_more_keys_than_any_fleet_has_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(HEAD + "".join(f"a{i}=1\n" for i in range(MOST_MARKS)))
    assert message_of(path) == f"{path}: has more than 400,000 keys and values; no fleet file needs that\n"


def test_a_file_of_other_things_is_left_after_a_thousand_problems(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text("".join(f"a{i}=1\n" for i in range(5000)))
    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)
    *listed, last = caught.value.problems
    assert len(listed) == 1000 and listed[-1].line == 1000
    assert last.message == "has more than 1,000 problems; the rest was left"


def test_a_file_of_100_mb_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    with path.open("wb") as file:
        file.truncate(100 * 10**6)
    assert message_of(path) == f"{path}: is larger than 4 MiB; no fleet file needs that\n"


def test_a_missing_file_a_folder_and_a_device_are_named_as_such(tmp_path: Path) -> None:
    assert message_of(tmp_path / "none.toml") == f"{tmp_path}/none.toml: No such file or directory\n"
    assert message_of(tmp_path) == f"{tmp_path}: is a folder; name the file in it\n"
    assert message_of("/dev/zero") == "/dev/zero: is a device; a regular file is needed\n"
    assert message_of("a\0b").startswith(
        ("a\\x00b: embedded null", "a\\x00b: open: embedded null")
    )  # Python 3.13 names the call
    assert "File name too long" in message_of(tmp_path / ("x" * 300))


def test_a_pipe_without_a_writer_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fleet.toml")
    assert message_of(tmp_path / "fleet.toml") == f"{tmp_path}/fleet.toml: is a pipe; a regular file is needed\n"


def test_a_socket_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert message_of(tmp_path / "s").startswith(f"{tmp_path}/s: ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"#" * (2**20 + 1), "is larger than 1 MiB", id="too-large"),
        pytest.param(b"echo \xff", "not UTF-8", id="not-utf-8"),
        pytest.param(b" \n", "is empty", id="empty"),
        pytest.param(b"a\0b", "is no text", id="nul"),
    ],
)
def test_a_script_must_be_a_text_of_at_most_a_mebibyte(data: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "deploy.sh").write_bytes(data)
    (tmp_path / "fleet.toml").write_text(HEAD + '[[targets]]\nname = "a"\n[[steps]]\nscript = "deploy.sh"\n')
    message = message_of(tmp_path / "fleet.toml")
    assert message.startswith(f"{tmp_path}/fleet.toml:5:1: steps[0].script: {tmp_path}/deploy.sh: {expected}")


def test_the_caret_stands_below_the_character_that_is_meant() -> None:
    source = "\u65e5\u672c\x1b[2J\t= x"
    lines = list(problem_lines(Problem("wrong", key="k", path="f", line=7, column=8, source=source)))
    assert lines[0] == "f:7:8: k: wrong"
    assert lines[1] == "  7 | \u65e5\u672c\\x1b[2J = x"
    assert lines[2].index("^") == len("  7 | ") + 2 * 2 + len("\\x1b[2J ")


def test_a_long_line_is_cut_around_the_caret() -> None:
    source = "a" * 5000 + "HERE" + "b" * 5000
    _, line, caret = problem_lines(Problem("wrong", path="f", line=1, column=5001, source=source))
    assert len(line) < 120
    assert line[caret.index("^") :].startswith("HERE")


def test_more_problems_than_anyone_mends_at_once_are_counted() -> None:
    text = render([Problem(f"wrong {i}", path="f") for i in range(1200)])
    assert text.endswith("f: wrong 49\n... and 1,150 more\n")
