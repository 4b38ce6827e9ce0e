"""The commands as operators type them: what they print, their exit codes, and what they must not load."""

from __future__ import annotations

import argparse
import hashlib
import json
import pkgutil
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from farm import Farm
from fronts import (
    Front,
    approval,
    canary_tui,
    environment,
    headless,
    only_rollout,
    plan_in,
    plan_of,
    records,
    started,
    told,
    until,
)
from marks import DEPLOY, HOLD, fleet_file, let_go, names, operations, times, with_mark
from on_screen import Terminal

from canary_tui import tui
from canary_tui.cli.main import _parser
from canary_tui.cli.options import THEMES
from canary_tui.domain.codec import decode
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import replay
from canary_tui.engine.messages import Opened, Refused, Start
from canary_tui.errors import ExitCode
from canary_tui.store.history import history
from canary_tui.tui import themes

ALL = '[[waves]]\nname = "all"\nparallel = 8\n'
HELP = Path(__file__).parent / "help.txt"
README = (Path(__file__).parents[2] / "README.md").read_text()


# Help


def test_the_help_is_as_it_was_read_last(state: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "canary_tui", "--help"],
        env={**environment(state), "COLUMNS": "100"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == HELP.read_text()


_, NAMES = _parser()
assert isinstance(NAMES, dict), "each name's parser, as argparse keeps them"
COMMANDS = {name: parser for name, parser in NAMES.items() if not name.startswith("_")}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(state: Path, command: str) -> None:
    ran = canary_tui(state, command, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"usage: canary-tui {command}")
    assert command in HELP.read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_text_is_at_most_twelve_words(command: str) -> None:
    texts = [action.help for action in COMMANDS[command]._actions if not isinstance(action, argparse._HelpAction)]
    texts += [line.split(maxsplit=1)[1] for line in HELP.read_text().splitlines() if line.startswith(f"    {command} ")]
    assert [text for text in texts if not text or len(text.split()) > 12] == []


def test_every_exit_code_is_in_the_help() -> None:
    for code in ExitCode:
        assert re.search(rf"\b{int(code)} [a-z]", HELP.read_text()), code


# What looking at a file costs


def _loaded(state: Path, *arguments: object) -> set[str]:
    """The top modules that a command line loads."""
    script = (
        "import sys\nfrom canary_tui.__main__ import main\n"
        f"sys.argv = {['canary-tui', *map(str, arguments)]!r}\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], env=environment(state), capture_output=True, text=True)
    return set(ran.stdout.rpartition("LOADED ")[2].split())


@pytest.mark.parametrize("command", ["--help", "--version", "check", "plan"])
def test_looking_loads_neither_ssh_nor_screens(tmp_path: Path, state: Path, command: str) -> None:
    fleet = tmp_path / "shop.toml"
    fleet.write_text('name = "shop"\n[[targets]]\nname = "web-[1-4]"\n[[steps]]\nrun = "true"\n')
    more: dict[str, list[object]] = {"check": [fleet], "plan": [fleet, "--release", "2.0", "--canary", "web-1"]}
    loaded = _loaded(state, command, *more.get(command, []))
    assert "canary_tui" in loaded
    assert loaded.isdisjoint({"asyncssh", "textual", "rich", "cryptography", "asyncio"})


def test_the_screens_never_load_what_connects() -> None:
    modules = [one.name for one in pkgutil.walk_packages(tui.__path__, "canary_tui.tui.")]
    assert "canary_tui.tui.app" in modules
    script = f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "textual" in ran.stdout.split()
    connecting = {"asyncssh", "cryptography", "canary_tui.ssh.connection.connect", "canary_tui.ssh.network"}
    assert connecting.isdisjoint(ran.stdout.split())


# Exit codes, each by what brings it about; 1, 3 and 5 to 8 stand beside their rules, too


def test_a_rollout_that_is_done_is_0(any_farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(any_farm, DEPLOY + ALL))
    count = len(any_farm.targets)
    assert (ran.code, ran.out) == (0, f"succeeded: {count} of {count} targets on 2.0\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["no-such.toml", "--release", "1", "--headless"], "no-such.toml", id="no file"),
        pytest.param(["{fleet}", "--headless", "--canary", "web-1"], "--release is missing", id="no release"),
        pytest.param(["{fleet}", "--release", "-rf", "--headless"], "release", id="an option as release"),
        pytest.param(["{fleet}", "--release", "2 0", "--headless", "--canary", "web-1"], "'2 0'", id="two words"),
        pytest.param(["{fleet}", "--release", "2", "--headless", "--var", "A"], "NAME=VALUE", id="half a variable"),
        pytest.param(["{fleet}", "--release", "2", "--canary", "web-1"], "terminal", id="screens without a terminal"),
        pytest.param(["resume", "--headless"], "nothing to resume", id="nothing to resume"),
        pytest.param(["replay", "no-such-one", "--headless"], "no-such-one", id="no such rollout"),
        pytest.param(["verify"], "there is no rollout yet", id="no rollout"),
    ],
)
def test_what_cannot_be_done_as_asked_is_2(farm: Farm, state: Path, arguments: list[str], said: str) -> None:
    fleet = fleet_file(farm, DEPLOY)
    ran = canary_tui(state, *(word.format(fleet=fleet) for word in arguments))
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert all(target.commands() == [] for target in farm.targets)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        pytest.param(
            "histroy", "no command 'histroy', and no fleet file of that name; did you mean 'history'?", id="near"
        ),
        pytest.param("frobnicate", "no command 'frobnicate', and no fleet file of that name; see --help", id="far"),
        pytest.param("_serv", "no command '_serv', and no fleet file of that name; see --help", id="near a hidden one"),
        pytest.param("stat\x1b[2J", "no command 'stat", id="with an escape sequence"),
    ],
)
@pytest.mark.parametrize("before", [[], ["--state-dir", "{state}"]], ids=["first", "after an option"])
def test_a_misspelt_command_is_no_fleet_file(state: Path, word: str, said: str, before: list[str]) -> None:
    ran = canary_tui(state, *(one.format(state=state) for one in before), word, "--release", "2.0", "--headless")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"canary-tui: {said}")
    assert "\x1b" not in ran.err


@pytest.mark.parametrize("name", ["no-such.toml", "./history", "fleets/shop"])
def test_what_is_written_as_a_path_is_a_fleet_file(state: Path, name: str) -> None:
    ran = canary_tui(state, name, "--release", "2.0", "--headless")
    assert ran.code == 2
    assert ran.err.startswith(f"{name.removeprefix('./')}: ")


def test_a_fleet_file_may_have_any_name(
    farm: Farm, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").write_text(fleet_file(farm, DEPLOY + ALL).read_text())
    monkeypatch.chdir(tmp_path)
    ran = canary_tui(state, "shop", "--release", "2.0", "--headless")
    assert ran.code == 0, ran.text


def test_the_command_run_may_be_left_out(farm: Farm, state: Path) -> None:
    fleet = fleet_file(farm, DEPLOY + ALL)
    assert canary_tui(state, fleet, "--release", "2.0", "--headless").code == 0
    assert with_mark(farm) == {target.name for target in farm.targets}


# Locks


async def test_a_second_rollout_on_the_same_fleet_is_7(farm: Farm, state: Path) -> None:
    fleet = fleet_file(farm, DEPLOY)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.GateOpened)
        ran = headless(state, fleet, "--canary", "web-2")
        assert ran.code == 7
        assert "ann@desk" in ran.err
        again = canary_tui(state, "resume", "--headless")
        assert again.code == 7, "nor can another engine take it over"
        async with Front(state) as other:
            await other.send(Start(plan_of(fleet, canaries=("web-2",)), told(state, e.RolloutStarted)[0].by))
            assert "ann@desk" in (await other.notice(Refused)).reason
        assert not any(isinstance(one, Opened) for one in other.notices)
    assert with_mark(farm) == {"web-1"}
    assert len(list((state / "rollouts").iterdir())) == 1


async def test_a_killed_engine_leaves_no_lock_without_a_way_out(farm: Farm, state: Path) -> None:
    """L16"""
    fleet = fleet_file(farm, DEPLOY)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.GateOpened)
        front.process.send_signal(signal.SIGKILL)
        await front.exited()
    assert canary_tui(state, "resume", "--headless").code == 4
    other, first = fleet_file(farm, DEPLOY, name="other"), only_rollout(state).id
    ran = headless(state, other, "--canary", "web-2")
    assert (ran.code, f"locked by {first}" in ran.text) == (7, True)
    assert headless(state, other, "--canary", "web-2", "--break-lock", first).code == 4


# Which rollout `resume` means


@pytest.fixture
def two_open(farm: Farm, state: Path) -> list[str]:
    """The ids of two rollouts that wait at their gates, the newest first."""
    assert headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1").code == 4
    other, first = fleet_file(farm, DEPLOY, name="other"), only_rollout(state).id
    ran = headless(state, other, "--canary", "web-2", "--break-lock", first, release="2.1")
    assert ran.code == 4, ran.text
    return [one.rollout for one in history(state) if one.verdict is None]


def journals(state: Path) -> dict[str, str]:
    return {one.rollout: (one.path / "journal.jsonl").read_text() for one in history(state)}


@pytest.mark.found("M3")
def test_resume_without_an_id_starts_none_of_several_and_lists_their_commands(
    two_open: list[str], state: Path, tmp_path: Path
) -> None:
    """M3"""
    before = journals(state)
    yes = approval(tmp_path, "0" * 12)
    ran = canary_tui(state, "resume", "--headless", "--json", "--approve-with", yes)
    assert (ran.code, ran.out) == (2, "")
    assert journals(state) == before
    newest, oldest = two_open
    for rollout, name in ((newest, "other 2.1 of"), (oldest, "shop 2.0 of")):
        [line] = [one for one in ran.err.splitlines() if rollout in one]
        said, _, told_of = line.partition("  # ")
        wanted = f"canary-tui --state-dir {state} resume {rollout} --headless --json --approve-with {yes}"
        assert said.removeprefix("canary-tui: ").strip() == wanted
        assert told_of.startswith(name)
        assert "0 half done, 3 not begun, 1 ok" in told_of


@pytest.mark.found("M3")
def test_resume_at_a_terminal_starts_nothing_before_a_rollout_is_named(two_open: list[str], state: Path) -> None:
    """M3"""
    before = journals(state)
    with Terminal(state, "resume") as screen:
        screen.shows("2 rollouts are open:", "1  other 2.1 of", "2  shop 2.0 of", "Which one to resume?")
        screen.press("\r")
        screen.press("7", "\r")
        screen.until(lambda: screen.text.count("Which one to resume?") == 3)
        assert journals(state) == before
        screen.press("2", "\r")
        screen.shows("GATE")
    after = journals(state)
    assert after[two_open[0]] == before[two_open[0]]
    assert after[two_open[1]] != before[two_open[1]]


@pytest.mark.found("M3")
@pytest.mark.parametrize("answer", ["n\r", "\x04", "\x03"], ids=["no", "end of input", "Ctrl-C"])
def test_resume_at_a_terminal_asks_also_about_the_only_one(farm: Farm, state: Path, answer: str) -> None:
    """M3"""
    assert headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1").code == 4
    before = journals(state)
    with Terminal(state, "resume") as screen:
        screen.until(
            lambda: re.search(r"Resume shop 2\.0 of \d\d:\d\d\? 0 half done, 3 not begun, 1 ok: enter", screen.text)
        )
        screen.paste(answer)
        assert screen.ended() == (130 if answer == "\x03" else 2)
    assert journals(state) == before


# Afterwards


def test_a_rollout_that_ended_cannot_be_resumed(farm: Farm, state: Path) -> None:
    assert headless(state, fleet_file(farm, DEPLOY + ALL)).code == 0
    before = {target.name: len(target.commands()) for target in farm.targets}
    ran = canary_tui(state, "resume", only_rollout(state).id, "--headless")
    assert ran.code == 2
    assert "has ended (succeeded" in ran.err
    assert canary_tui(state, "resume", "--headless").code == 2
    assert {target.name: len(target.commands()) for target in farm.targets} == before


def test_verify_tells_an_intact_journal_from_one_that_was_edited(farm: Farm, state: Path) -> None:
    assert headless(state, fleet_file(farm, DEPLOY + ALL)).code == 0
    ran = canary_tui(state, "verify")
    assert ran.code == 0
    assert f"{len(records(state))} records, intact" in ran.out
    journal = only_rollout(state).journal
    journal.write_text(journal.read_text().replace("web-2", "web-3", 1))
    edited = canary_tui(state, "verify")
    assert edited.code == 1
    assert f"{journal}:1:" in edited.err
    assert canary_tui(state, "replay", "--headless").code != 0, "what cannot be believed is not shown"


def test_history_lists_the_rollouts_and_tells_one_of_them(farm: Farm, state: Path) -> None:
    fleet = fleet_file(farm, DEPLOY)
    assert headless(state, fleet, "--only", "web-1").code == 0
    assert headless(state, fleet, "--canary", "web-2", release="2.1").code == 4
    header, newest, oldest = canary_tui(state, "history", fleet).out.splitlines()
    assert header.split() == ["ROLLOUT", "STARTED", "FLEET", "RELEASE", "TARGETS", "RESULT"]
    assert header.index("RELEASE") == newest.index("2.1 ")
    assert "2.1" in newest
    assert "open, " in newest
    assert oldest.endswith("succeeded")
    assert canary_tui(state, "history", "shop").out.splitlines() == [header, newest, oldest]
    last, first = map(json.loads, canary_tui(state, "history", "--json").out.splitlines())
    assert (first["rollout"], first["result"], first["exit_code"], first["targets"]) == (
        oldest.split()[0],
        "succeeded",
        0,
        1,
    )
    assert (last["verdict"], last["exit_code"], last["release"]) == (None, None, "2.1")
    assert all(f"`{key}`" in README for key in first)
    one = oldest.split()[0]
    assert "web-1: deploy" in canary_tui(state, "history", one).out
    assert canary_tui(state, "history", one, "--json").out == canary_tui(state, "replay", one, "--json").out
    assert canary_tui(state, "history", "no-such-fleet").code == 2


def test_history_says_that_there_is_nothing_yet(farm: Farm, state: Path) -> None:
    fleet = fleet_file(farm, DEPLOY)
    for words, said in (([], "there is no rollout yet in "), ([fleet], "there is no rollout of shop yet in ")):
        ran = canary_tui(state, "history", *words)
        assert (ran.code, ran.out) == (0, f"{said}{state}\n")
        assert canary_tui(state, "history", *words, "--json").out == ""


def test_replay_tells_what_the_rollout_told(farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(farm, DEPLOY + ALL))
    told_then = ran.err.splitlines()[1:]
    *told_again, closing = canary_tui(state, "replay", "--headless").out.splitlines()
    assert told_again == told_then
    assert closing.partition(" ")[2] == ran.out.rstrip()


def test_json_is_the_journal(farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(farm, DEPLOY + ALL), "--json")
    read = [decode(e.Record, json.loads(line)) for line in ran.out.splitlines()]
    assert read == records(state)
    assert replay(read).verdict == "succeeded"
    assert canary_tui(state, "replay", "--json").out == ran.out


def test_ping_looks_at_the_targets_and_changes_nothing(farm: Farm, state: Path) -> None:
    fleet = fleet_file(farm, DEPLOY, {"dead": ""})
    ran = canary_tui(state, "ping", fleet)
    assert ran.code == 1
    assert "dead: unreachable" in ran.out
    assert "4 of 5 targets reached" in ran.out
    assert ran.out.count("runs 1.0") == 4
    assert canary_tui(state, "ping", fleet, "web-1").code == 0
    asked = canary_tui(state, "ping", fleet, "--json")
    found = {one["target"]: one for one in map(json.loads, asked.out.splitlines())}
    assert (asked.code, asked.err) == (1, "4 of 5 targets reached\n")
    assert {name: one["outcome"] for name, one in found.items()} == {
        **dict.fromkeys(names(farm), "ok"),
        "dead": "unreachable",
    }
    assert found["web-1"]["release"] == "1.0"
    assert all(f"`{key}`" in README for key in found["dead"])
    assert {operation for target in farm.targets for operation in operations(target)} == {"hello", "plain"}
    assert with_mark(farm) == set()


def test_check_and_plan_connect_to_nothing(farm: Farm, state: Path) -> None:
    fleet = fleet_file(farm, DEPLOY)
    assert "sound: 4 targets, 1 step" in canary_tui(state, "check", fleet).out
    shown = canary_tui(state, "plan", fleet, "--release", "2.0", "--canary", "web-1", "--explain", "web-1")
    assert "RELEASE = '2.0'" in shown.out
    assert all(target.commands() == [] for target in farm.targets)


@pytest.mark.found("M16")
def test_plan_shows_everything_that_will_run_and_the_json_that_an_approval_is_bound_to(farm: Farm, state: Path) -> None:
    """M16"""
    fleet = fleet_file(farm, DEPLOY)
    (farm.folder / "more.sh").write_text("#!/bin/sh\necho more\x1b[2J\n")
    fleet.write_text(fleet.read_text() + '[[rollback]]\nscript = "more.sh"\n')
    asked = ("plan", fleet, "--release", "2.0", "--canary", "web-1", "--var", "TOKEN=hunter2")
    full, frozen = canary_tui(state, *asked, "--full"), canary_tui(state, *asked, "--json")
    assert "  | echo $RELEASE >> deployed; echo $RELEASE > REVISION\n" in full.out
    assert "  | echo more" in full.out
    assert "TOKEN" in full.out
    assert "hunter2" not in full.out
    assert "\x1b" not in full.out + frozen.out
    told_of = json.loads(frozen.out)
    assert decode(Plan, told_of["plan"]).hash == told_of["hash"]
    text = json.dumps(told_of["plan"], sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == told_of["hash"]
    assert f"plan {told_of['hash'][:12]}" in full.out
    assert all(target.commands() == [] for target in farm.targets)


async def test_resume_says_how_far_every_target_is(farm: Farm, state: Path, tmp_path: Path) -> None:
    process = started(
        state, "run", fleet_file(farm, HOLD), "--release", "2.0", "--headless", "--canary", "web-1 | web-2"
    )
    await until(lambda: with_mark(farm, "pid") == {"web-1", "web-2"})
    process.kill()
    process.communicate()
    let_go(farm)
    ran = canary_tui(state, "resume", "--headless")
    assert ran.code == 4
    assert "2 running, to be asked about, 2 not started" in ran.err
    yes = approval(tmp_path, plan_in(state).hash)
    assert canary_tui(state, "resume", "--headless", "--approve-with", yes).code == 0
    assert set(times(farm).values()) == {1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--theme", "pink"), "invalid choice: 'pink'", id="a theme"),
        pytest.param(("--break-lock", "xyz"), "'xyz' is no rollout's id", id="a rollout's id"),
        pytest.param(("--canary", "zone=a zone=b"), "all words must fit: 'zone=a | zone=b' means either", id="words"),
    ],
)
def test_an_option_that_means_nothing_is_refused_in_words(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Minor 24: nothing on the command line is accepted without a meaning."""
    fleet = tmp_path / "shop.toml"
    fleet.write_text(
        'name = "shop"\n[[steps]]\nrun = "true"\n[[targets]]\nname = "a-[1-2]"\ntags = { zone = "a" }\n'
        '[[targets]]\nname = "b"\ntags = { zone = "b" }\n'
    )
    ran = headless(tmp_path / "state", fleet, *arguments)
    assert (ran.code, said in ran.err) == (2, True), ran.err


def test_the_themes_of_the_command_line_are_those_of_the_screens() -> None:
    """The command line names them itself, for it does not load the screens."""
    assert themes.NAMES == THEMES
