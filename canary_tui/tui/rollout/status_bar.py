"""The two rows at the top of the rollout's screen: wave, counts, progress, the slowest step, the engine."""

from __future__ import annotations

from textual.strip import Strip

from canary_tui.domain.fleet.steps import HttpStep, Step, UploadStep
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.patience import asked_until
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.words import PAUSE_WORDS, ended_word
from canary_tui.tui.host import Link
from canary_tui.tui.rollout.columns import upload_words
from canary_tui.tui.rollout.follower import SILENT_AFTER, Follower
from canary_tui.tui.rollout.status import COUNTED, SYMBOLS, Kind, current_step, step_name
from canary_tui.tui.shared.formats import clock, short_count, short_size, short_time, tight_time
from canary_tui.tui.shared.rows import RowWidget, TonedText, fit, texts_width

_BAR, _SHORT_BAR = 24, 10
_ROOMY = 100
_NO_PLAN = " waiting for the journal"
SILENT_STEP = 30.0
"""Seconds without output after which a running command is called silent."""
_COUNT_WORDS: dict[Kind, str] = {"waived": "step skipped", "undone": "rolled back"}
"""The words of the header for kinds whose names are not those of the list."""
_STAGES = {"preflight": "preflight", "rolling-back": "rolling back", "finishing": "finishing"}


class StatusBar(RowWidget):
    """The two rows, painted again only when a character has changed."""

    def __init__(self, follower: Follower, link: Link | None) -> None:
        super().__init__(id="status")
        self._follower = follower
        self._link = link
        self._version = -1
        self._progress = (0, 0)
        # A long journal takes a second to replay, in which nothing else stands on the screen.
        self._rows: tuple[list[TonedText], list[TonedText]] = ([(_NO_PLAN, "dim")], [])

    def flush(self) -> None:
        """Compose the rows again; repaint if they differ."""
        rows = self._compose_rows()
        if rows != self._rows:
            self._rows = rows
            self.refresh()

    def render_line(self, y: int) -> Strip:
        return self.strip(self._rows[y] if y < 2 else [], self.size.width)

    def on_resize(self) -> None:
        self.flush()

    def _compose_rows(self) -> tuple[list[TonedText], list[TonedText]]:
        plan, state = self._follower.plan, self._follower.state
        if plan is None:
            return [(_NO_PLAN, "dim")], []
        width = self.size.width
        head = headline(plan, state)
        told = counts(self._follower)
        if texts_width(told) + len(head) + 12 > width:
            told = counts(self._follower, words=False)
        right = [*told, (" ", "plain")]
        left = fit(f" {head}", max(10, width - texts_width(right) - 9))
        elapsed = self._follower.now() - state.started_at
        first: list[TonedText] = [(left, "strong"), (f" {clock(elapsed):>7} ", "plain"), *right]
        return first, self._second(plan, state, width)

    def _second(self, plan: Plan, state: RolloutState, width: int) -> list[TonedText]:
        engine = [*self._engine(), (" ", "plain")]
        if self._version != self._follower.version:
            self._version, self._progress = self._follower.version, progress(plan, state)
        done, total = self._progress
        label = f" {done}/{total}  "
        waiting = waiting_for(self._follower)
        bar = _BAR if width >= _ROOMY else _SHORT_BAR
        room = max(0, width - texts_width(engine) - len(label) - bar - 3)
        filled = bar * done // total if total else bar
        pieces: list[TonedText] = [(" [", "dim"), ("#" * filled, "ok"), ("-" * (bar - filled) + "]", "dim")]
        pieces += [(label, "plain"), (fit(waiting, room - 1) + " ", "running")]
        return [*pieces, *engine]

    def _engine(self) -> list[TonedText]:
        follower = self._follower
        if follower.ended:
            return [(ended_words(follower.state), "dim")]
        if self._link is None:
            return [("READ ONLY", "strong"), (f" · {follower.sitting()}", "dim")]
        if self._link.gone:
            return [("engine gone", "failed")]
        if follower.pulse is None:
            return [("engine starting", "dim")]
        silent = follower.silent_for()
        if silent > SILENT_AFTER:
            return [(f"engine silent {short_time(silent)}", "failed")]
        pulse = follower.pulse
        speed = f"  {short_count(pulse.lines_per_second):>5} lines/s {short_size(pulse.size):>6}"
        return [("engine ok", "ok"), (speed, "plain")]


def headline(plan: Plan, state: RolloutState) -> str:
    """Write fleet, release and place: `shop 1.4.2 · production · wave 1 of 3 canary`."""
    parts = [f"{plan.fleet} {plan.release}", plan.environment]
    if state.stage == "waves":
        wave = plan.waves[state.wave]
        parts.append(f"wave {state.wave + 1} of {len(plan.waves)} {wave.name}")
    elif state.stage == "finished":
        parts.append(ended_words(state) or "finished")
    else:
        parts.append(_STAGES[state.stage])
    if state.stop != "none" and state.verdict is None and state.paused is None:
        parts.insert(0, "STOPPING?" if state.stop == "asking" else "STOPPING")
    return " · ".join(part for part in parts if part)


def counts(follower: Follower, *, words: bool = True) -> list[TonedText]:
    """Count the targets by status: `2 + ok  1 > running`; pending ones are left out."""
    pieces: list[TonedText] = []
    for kind in COUNTED:
        if count := follower.roster.counts[kind]:
            word = f" {_COUNT_WORDS.get(kind, kind)}" if words else ""
            pieces += [("  " if pieces else "", "plain"), (f"{count:,} {SYMBOLS[kind]}{word}", kind)]
    return pieces


def progress(plan: Plan, state: RolloutState) -> tuple[int, int]:
    """Count the targets of the current stage, and those that are through with it."""
    if state.stage == "preflight":
        targets = list(state.targets.values())
        return sum(target.probe in ("ok", "failed") for target in targets), len(targets)
    if state.stage == "rolling-back":
        undone = [state.targets[name] for name in state.rollback_order]
        return sum(target.track("rollback").outcome is not None for target in undone), len(undone)
    if state.stage == "waves":
        wave = [state.targets[name] for name in plan.waves[state.wave].targets]
        return sum(target.steps.outcome is not None for target in wave), len(wave)
    cleaned = [target for target in state.targets.values() if target.finally_ is not None]
    if state.stage == "finishing" and cleaned:
        return sum(target.track("finally").outcome is not None for target in cleaned), len(cleaned)
    return sum(target.steps.outcome is not None for target in state.targets.values()), len(state.targets)


def waiting_for(follower: Follower) -> str:
    """Name the running step that has used most of its limit: `web-5: switch 8 s`."""
    longest = max(
        ((target, _share(follower, target)) for target in follower.running()), key=lambda one: one[1], default=None
    )
    return waiting_words(follower, longest[0]) if longest is not None else ""


def waiting_words(follower: Follower, target: TargetState) -> str:
    """Name a target's running step with its time; from half of its limit on with that, and with a long silence."""
    running, plan = target.running, follower.plan
    if running is None or plan is None:
        return ""
    elapsed = follower.now() - running.since
    step = current_step(plan, target)
    if step is None:
        return ""
    if running.lost:
        lost = follower.lost_for(target.name)
        longest = asked_until(step, running.since) - follower.now() + lost
        return f"{target.name}: reconnecting {tight_time(lost)}, at most {tight_time(max(lost, longest))}"
    limit = f" (limit {short_time(step.timeout)})" if elapsed >= step.timeout / 2 else ""
    more = progress_words(follower, target) or silence_words(follower, target, step)
    return f"{target.name}: {step_name(step)} {short_time(elapsed)}{limit}{more}"


def progress_words(follower: Follower, target: TargetState) -> str:
    """Tell how far an upload is: `, 45 % 4 s left`; "" for every other step."""
    pace = follower.paces.get(target.name)
    return f", {upload_words(pace)}" if pace is not None and pace.total else ""


def silence_words(follower: Follower, target: TargetState, step: Step) -> str:
    """Tell that a command has printed nothing for long: `, silent 40 s`; "" for steps that print nothing."""
    if isinstance(step, UploadStep | HttpStep):
        return ""
    silent = follower.printless_for(target)
    return f", silent {short_time(silent)}" if silent >= SILENT_STEP else ""


def _share(follower: Follower, target: TargetState) -> float:
    assert target.running is not None
    assert follower.plan is not None
    step = current_step(follower.plan, target)
    return (follower.now() - target.running.since) / step.timeout if step is not None else 0.0


def ended_words(state: RolloutState) -> str:
    """Tell the end in two or three words."""
    if state.verdict is not None:
        return ended_word(state.verdict, state.exit_code)
    return f"paused: {PAUSE_WORDS[state.paused]}" if state.paused else ""
