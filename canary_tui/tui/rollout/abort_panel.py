"""The panel that aborts a rollout: it asks for a reason, shows the consequences, and then takes the decision."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message

from canary_tui.domain.fleet.names import count
from canary_tui.domain.planning.plan import Plan, applicable
from canary_tui.domain.rollout.events import Aborted, Operator
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState, can_roll_back
from canary_tui.engine.messages import Decide
from canary_tui.tui.rollout.status import current_step, step_name
from canary_tui.tui.shared.formats import in_short
from canary_tui.tui.shared.panel import Decided, KeyGuard, Panel, TypedField, keyed, line


class AbortPanel(Panel):
    """The question asks for a note first, then for `B` or `K`; `esc` at any time leaves everything as it was."""

    class Left(Message):
        """The person has left the question; nothing is aborted."""

    def __init__(self, guard: KeyGuard, by: Operator) -> None:
        super().__init__(guard, id="abort")
        self._by = by
        self._note = ""
        self._says = ""
        self._plan: Plan | None = None
        self._state = RolloutState()

    def begin(self, plan: Plan, state: RolloutState) -> None:
        """Open the panel and ask for the note."""
        self._plan, self._state = plan, state
        self._note = self._says = ""
        self.open()
        self.draw()
        self.ask(" Reason for the abort (recorded):", self._noted)

    def draw(self) -> None:
        """Show the consequences of an abort now."""
        plan = self._plan
        if plan is None or not self.display:
            return
        self.title(
            f"ABORT {plan.fleet} {plan.release}? Nothing more will be deployed", kept="esc: back, nothing aborted"
        )
        self.details(_consequences(plan, self._state))
        self.says(*([line((f" {self._says}", "unknown"))] if self._says else []))
        self.keys(*self._choices(plan))

    def on_typed_field_left(self, event: TypedField.Left) -> None:
        """Close the whole question on `esc` in the note."""
        event.stop()
        self.leave()

    def leave(self) -> None:
        self.close()
        self.post_message(self.Left())

    def can_roll_back(self) -> bool:
        return bool(self._note) and self._plan is not None and bool(_able(self._plan, self._state))

    def can_leave(self) -> bool:
        return bool(self._note)

    def decide(self, *, rollback: bool) -> None:
        """Send the decision of `B` or `K`."""
        if self.deliberate() and (self.can_roll_back() if rollback else self.can_leave()):
            self.post_message(Decided(Decide(self._state.rollout, Aborted(self._by, self._note, rollback))))
            self.close()

    def _noted(self, text: str) -> None:
        note = " ".join(text.split())
        if not note:
            self._says = "Please give a reason; it is recorded for whoever reads this later"
            self.draw()
            return
        self._note, self._says = note, ""
        self.stop_asking()
        self.draw()

    def _choices(self, plan: Plan) -> list[Content]:
        if not self._note:
            return [line((" enter shows the choice; nothing is aborted yet", "dim"))]
        changed, able = _changed(self._state), _able(plan, self._state)
        lines = [line((" note: ", "dim"), self._note)]
        if able:
            lines.append(keyed("B", f"Roll back: {_undoing(self._state, able)}, newest wave first"))
        else:
            lines.append(line((f" B Roll back is not possible: {_why_not(plan, changed)}", "dim")))
        lines.append(keyed("K", f"Keep: {_kept(plan, self._state, changed)}"))
        return lines


def _kept(plan: Plan, state: RolloutState, changed: tuple[str, ...]) -> str:
    """Write what stays on the changed targets: the release on those that are done, something between on the others."""
    done = tuple(name for name in changed if state.targets[name].steps.outcome == "ok")
    half = tuple(name for name in changed if name not in set(done))
    parts = []
    if done:
        keep = f"keep{'s' if len(done) == 1 else ''} {plan.release}"
        parts.append(f"{count(len(done), 'target')} {keep}: {in_short(done)}")
    if half:
        parts.append(f"{count(len(half), 'target')} stay{'s' if len(half) == 1 else ''} half done: {in_short(half)}")
    return "; ".join(parts) or "nothing was changed"


def _changed(state: RolloutState) -> tuple[str, ...]:
    return tuple(target.name for target in state.targets.values() if target.changed and not _is_back(target))


def _able(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    return tuple(name for name in _changed(state) if can_roll_back(plan, state.targets[name]))


def _is_back(target: TargetState) -> bool:
    return target.rollback is not None and target.rollback.outcome == "ok"


def _undoing(state: RolloutState, able: tuple[str, ...]) -> str:
    """Write the rollback: `3 targets go back: web-[1-2] to 1.4.1, web-3 to 1.4.0`."""
    releases: dict[str, list[str]] = {}
    for name in able:
        releases.setdefault(state.targets[name].previous, []).append(name)
    where = ", ".join(f"{in_short(tuple(names))} to {release}" for release, names in releases.items())
    return f"{count(len(able), 'target')} go{'es' if len(able) == 1 else ''} back: {where}"


def _why_not(plan: Plan, changed: tuple[str, ...]) -> str:
    if not plan.rollback:
        return "the fleet file has no [[rollback]] steps"
    return "no changed target reported its previous release" if changed else "no target was changed"


def _consequences(plan: Plan, state: RolloutState) -> list[Content]:
    """List the consequences of an abort that hold for both choices."""
    running = [target for target in state.targets.values() if target.running is not None]
    untouched = [target.name for target in state.targets.values() if not target.started_at]
    lines = []
    if running:
        steps = ", ".join(f"{target.name} {_step(plan, state, target.name)}" for target in running[:5])
        more = f" and {len(running) - 5} more" if len(running) > 5 else ""
        lines.append(line((" stopped    ", "dim"), f"{count(len(running), 'step')} that run now: {steps}{more}"))
    if untouched:
        lines.append(line((" untouched  ", "dim"), f"{count(len(untouched), 'target')}: {in_short(tuple(untouched))}"))
    if stuck := [name for name in _changed(state) if plan.rollback and name not in _able(plan, state)]:
        lines.append(line((" previous release unknown, cannot be rolled back: ", "unknown"), in_short(tuple(stuck))))
    cleaned = [
        target.name
        for target in state.targets.values()
        if target.started_at and applicable(plan, target.name, "finally")
    ]
    if cleaned:
        names = ", ".join(step_name(step) for step in plan.finally_)
        lines.append(
            line(
                (" then runs  ", "dim"),
                f"finally ({names}) on {count(len(cleaned), 'target')}: {in_short(tuple(cleaned))}",
            )
        )
    return lines or [line((" nothing is running, and no finally steps will run", "dim"))]


def _step(plan: Plan, state: RolloutState, name: str) -> str:
    step = current_step(plan, state.targets[name])
    return step_name(step) if step is not None else ""
