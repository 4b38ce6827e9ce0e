"""Commands that decide about an open rollout of this machine without its screens: approve, abort."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from canary_tui.cli.options import Subparsers, add_command, state_folder
from canary_tui.errors import CanaryError, ExitCode, UsageError
from canary_tui.text.safe import whole_line

if TYPE_CHECKING:
    from canary_tui.domain.planning.plan import Plan
    from canary_tui.domain.rollout.events import Decision
    from canary_tui.domain.rollout.state import RolloutState
    from canary_tui.store.layout import RolloutDirectory


def add_approve(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "Approve the open gate of a rollout, from any terminal."
    more = "Shows what the approval lets go, and asks for the same confirmation as the screens."
    parser = add_command(subparsers, "approve", text, _approve, more)
    _add_common(parser, "TEXT", "confirm without a question: what the gate asks for")
    parser.add_argument(
        "--tick", action="append", default=[], type=int, metavar="N", help="tick item N of the checklist (repeatable)"
    )


def add_abort(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "Abort a rollout, from any terminal; wait until it has ended."
    parser = add_command(subparsers, "abort", text, _abort)
    _add_common(parser, "RELEASE", "confirm without a question: the release")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--rollback", action="store_true", help="roll the changed targets back")
    what.add_argument("--keep", action="store_true", help="keep what was deployed")


def _add_common(parser: argparse.ArgumentParser, confirm: str, about: str) -> None:
    parser.add_argument("rollout", metavar="ROLLOUT", help="its id, or the end of it")
    parser.add_argument("--confirm", metavar=confirm, help=about)
    parser.add_argument("--note", default="", metavar="TEXT", help="record this reason")
    parser.add_argument("--resume", action="store_true", help="go on here, headless, if no engine works on it")
    parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object on stdout")


def _approve(options: argparse.Namespace) -> ExitCode:
    from canary_tui.domain.rollout import gate as gates
    from canary_tui.domain.rollout.events import GateApproved, ItemTicked
    from canary_tui.engine.identity import operator

    directory, plan, state = _open(options)
    gate, planned = state.gate, plan.waves[state.wave].gate if state.wave >= 0 else None
    if gate is None or planned is None or gate.decision != "open" or not state.deploying:
        raise CanaryError(f"{directory.id}: no gate is open; nothing was approved")
    _tell(_about_gate(plan, state))
    by = operator()
    ticks = _ticks(options, planned.checklist, gate.ticked)
    decisions: list[Decision] = [ItemTicked(state.wave, number - 1, ticked=True, by=by) for number in ticks]
    asked = gates.confirmation(planned.confirm, plan.release, plan.fleet, len(gates.next_wave_targets(plan, state)))
    _confirm(options, asked.question, asked.expected, "nothing was approved")
    decisions.append(GateApproved(state.wave, plan.hash, gate.evidence, by, options.note))
    return _decide(options, directory, decisions, "approved")


def _abort(options: argparse.Namespace) -> ExitCode:
    from canary_tui.domain.fleet.names import compress_names, count
    from canary_tui.domain.rollout.events import Aborted
    from canary_tui.engine.identity import operator

    directory, plan, state = _open(options)
    changed = [target.name for target in state.targets.values() if target.changed]
    becomes = "is rolled back" if options.rollback else "keeps what was deployed"
    what = f"{count(len(changed), 'changed target')} {becomes}: {compress_names(changed)}" if changed else "no target"
    _tell([_headline(plan, directory), f"ABORT: no more targets; {what if changed else 'none was changed'}"])
    note = options.note or _answer(options, "Why? (it is recorded for whoever reads this later)", "--note TEXT")
    if not note:
        raise UsageError("a reason is needed; nothing was aborted")
    _confirm(options, "type the release that is aborted", plan.release, "nothing was aborted")
    return _decide(options, directory, [Aborted(operator(), note, options.rollback)], "aborted")


def _open(options: argparse.Namespace) -> tuple[RolloutDirectory, Plan, RolloutState]:
    """The rollout that is meant, as its journal tells of it now, where somebody can take a decision in."""
    from canary_tui.domain.rollout.apply import replay
    from canary_tui.store.journal import read_journal
    from canary_tui.store.layout import find_rollout, resume_command
    from canary_tui.store.lock import held_by

    directory = find_rollout(state_folder(), options.rollout)
    state = replay(read_journal(directory.journal))
    if state.plan is None or state.verdict is not None:
        raise UsageError(f"{directory.id}: has ended; there is nothing to decide")
    if held_by(directory.lock) is None and not options.resume:
        from canary_tui.service.spool import NoEngine

        raise NoEngine(
            f"{directory.id}: no engine works on it, so nothing was decided\n"
            f"decide and go on here, headless: add --resume\n"
            f"or go on in the screens: {resume_command(directory.id)}"
        )
    return directory, state.plan, state


def _headline(plan: Plan, directory: RolloutDirectory) -> str:
    where = f" in {plan.environment}" if plan.environment else ""
    return f"{plan.fleet} {plan.release}{where}, rollout {directory.id}, plan {plan.hash[:12]}"


def _about_gate(plan: Plan, state: RolloutState) -> Iterator[str]:
    from canary_tui.domain.fleet.names import compress_names, count
    from canary_tui.domain.rollout import gate as gates
    from canary_tui.domain.rollout.rulings import waived
    from canary_tui.domain.rollout.words import OUTCOME_WORDS

    gate, wave = state.gate, plan.waves[state.wave]
    assert gate is not None
    assert wave.gate is not None
    coming = gates.next_wave_targets(plan, state)
    yield f"{plan.fleet} {plan.release}{f' in {plan.environment}' if plan.environment else ''}, plan {plan.hash[:12]}"
    following = plan.waves[state.wave + 1].name if state.wave + 1 < len(plan.waves) else "the end"
    yield f"GATE {wave.name} -> {following}: {count(len(coming), 'target')} next: {compress_names(coming)}"
    for name in wave.targets:
        target = state.targets[name]
        why = waived(target.rulings) or target.steps.why
        yield f"  {name}: {OUTCOME_WORDS[target.steps.outcome or 'not-started']}{f', {why}' if why else ''}"
    yield from (f"  {line}" for line in wave.gate.instructions.strip().splitlines())
    for item, text in enumerate(wave.gate.checklist):
        yield f"  [{'x' if item in gate.ticked else ' '}] {item + 1} {text}"
    for lock in gates.locks(plan, state, time.time()):
        yield f"  locked: {lock.reason}"


def _ticks(options: argparse.Namespace, checklist: Sequence[str], ticked: frozenset[int]) -> list[int]:
    """The numbers of the open items that the person has looked at."""
    if wrong := [number for number in options.tick if not 1 <= number <= len(checklist)]:
        raise UsageError(f"--tick {wrong[0]}: the checklist has {len(checklist)} items")
    done = [number for number in dict.fromkeys(options.tick) if number - 1 not in ticked]
    for item, text in enumerate(checklist):
        if item in ticked or item + 1 in done or not sys.stdin.isatty():
            continue
        if _answer(options, f"[ ] {item + 1} {text}: its number ticks it", "--tick N") == str(item + 1):
            done.append(item + 1)
    return done


def _confirm(options: argparse.Namespace, question: str, expected: str, otherwise: str) -> None:
    given = options.confirm if options.confirm is not None else _answer(options, question, "--confirm TEXT")
    if given.strip().replace(",", "") != expected:
        raise UsageError(f"{given.strip()!r} is not it ({question}); {otherwise}")


def _answer(options: argparse.Namespace, question: str, option: str) -> str:
    """The words that a person types at the terminal; those that were typed before the question stood there are none."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question}: nobody can be asked here; give {option}")
    import termios

    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    sys.stderr.write(f"{whole_line(question)}: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise UsageError(f"nobody answered, so nothing was decided about {options.rollout}")
    return line.strip()


def _decide(
    options: argparse.Namespace, directory: RolloutDirectory, decisions: Sequence[Decision], word: str
) -> ExitCode:
    """Hand the decisions to the engine at work, or go on here with them; tell what became of them."""
    from canary_tui.service.spool import NoEngine, ask

    try:
        answer = ask(directory, *decisions)
    except NoEngine:
        if not options.resume:
            raise
        return _go_on(options, directory, decisions)
    if not answer.taken:
        _print(options, directory, "refused", answer.reason)
        raise CanaryError(f"{directory.id}: refused: {answer.reason}")
    if word == "approved":
        _print(options, directory, word, "")
        return ExitCode.SUCCEEDED
    return _until_ended(options, directory)


def _until_ended(options: argparse.Namespace, directory: RolloutDirectory) -> ExitCode:
    """Tell what happens until an aborted rollout has ended: the stop is seen, not assumed."""
    from canary_tui.domain.rollout.apply import apply
    from canary_tui.domain.rollout.narration import narrate
    from canary_tui.domain.rollout.state import RolloutState
    from canary_tui.service.endings import closing_line, closing_of
    from canary_tui.store.journal import JournalReader
    from canary_tui.store.lock import held_by

    reader, state, old = JournalReader(directory.journal), RolloutState(), True
    while state.verdict is None and state.paused is None:
        gone = held_by(directory.lock) is None
        for record in reader.poll():
            apply(state, record)
            if not old and (line := narrate(record.event, state)):
                _tell([line])
        old = False
        if gone and state.verdict is None:
            break
        time.sleep(0.1)
    reader.close()
    _print(options, directory, closing_of(state).word, state.reason or closing_line(state))
    if any(target.unconfirmed for target in state.targets.values()):
        return ExitCode.UNKNOWN
    return ExitCode.SUCCEEDED if state.aborted != "none" and state.verdict is not None else closing_of(state).exit_code


def _go_on(options: argparse.Namespace, directory: RolloutDirectory, decisions: Sequence[Decision]) -> ExitCode:
    from canary_tui.engine.identity import operator
    from canary_tui.service.headless import run_headless
    from canary_tui.service.session import open_again

    by = operator()
    session = open_again(state_folder(), directory, by, attended=False)
    code = run_headless(session, by, None, as_json=options.json, decisions=decisions)
    return ExitCode.SUCCEEDED if code == ExitCode.ABORTED and session.state.aborted != "none" else code


def _print(options: argparse.Namespace, directory: RolloutDirectory, outcome: str, reason: str) -> None:
    if options.json:
        print(json.dumps({"rollout": directory.id, "outcome": outcome, "reason": reason}), flush=True)
    elif outcome != "refused":
        print(whole_line(f"{directory.id}: {outcome}{f': {reason}' if reason else ''}"), flush=True)


def _tell(lines: Sequence[str] | Iterator[str]) -> None:
    for line in lines:
        print(whole_line(line), file=sys.stderr, flush=True)
