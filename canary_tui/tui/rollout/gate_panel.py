"""The gate's panel: it shows the gate and takes the approval, the only way to the next wave from this terminal."""

from __future__ import annotations

import time

from textual.content import Content

from canary_tui.domain.fleet.names import count
from canary_tui.domain.rollout.events import GateApproved, ItemTicked, Operator
from canary_tui.engine.messages import Decide
from canary_tui.tui.rollout.gate_summary import GateSummary, Member, changes
from canary_tui.tui.rollout.status import SYMBOLS
from canary_tui.tui.shared.formats import ago, clock, in_short, short_time
from canary_tui.tui.shared.panel import Decided, KeyGuard, Panel, keyed, line
from canary_tui.tui.shared.rows import TonedText

_SHOWN_MEMBERS = 12
_ANSWERING = 2.0
"""Seconds after a refused `A`, or a digit after it, in which a digit is taken for its answer."""
_TOO_EARLY = "A does nothing yet. What is missing:"


class GatePanel(Panel):
    """The panel of an open gate. `show` updates it; it posts `Decided` when a person has decided."""

    def __init__(self, guard: KeyGuard, by: Operator, *, read_only: bool) -> None:
        super().__init__(guard, id="gate")
        self._by = by
        self._read_only = read_only
        self._summary: GateSummary | None = None
        self._note = ""
        self._reason = ""
        """The words that go into the journal with the approval; they are optional."""
        self._sent = False
        self._armed = False
        self._drawn = (0, 0)
        self._explained_at = float("-inf")

    @property
    def summary(self) -> GateSummary | None:
        """The gate that is shown; None while the panel is closed."""
        return self._summary

    @property
    def can_approve(self) -> bool:
        return self._summary is not None and not self._summary.locks and not self._read_only and not self._sent

    def show(self, summary: GateSummary | None, now: float) -> None:
        """Update the panel, or close it. A change disarms the field and is named."""
        before, self._summary = self._summary, summary
        if summary is None:
            self._armed = self._sent = False
            self._note = ""
            self.close()
            return
        if before is None or before.wave != summary.wave:
            self._armed = self._sent = False
            self._note = self._reason = ""
            self.open()
        elif before != summary:
            self._changed(changes(before, summary))
        if self._note == _TOO_EARLY and not summary.locks:
            self._note = ""
        self._draw(summary, now)

    def refused(self, reason: str) -> None:
        """Show the engine's refusal."""
        self._sent = self._armed = False
        self.stop_asking()
        self._note = f"refused: {reason}"

    # keys

    def arm(self) -> None:
        """Open the field on `A`; with `confirm = "key"`, the second `A` approves."""
        summary = self._summary
        if summary is None or not self.can_approve or not self.deliberate():
            return
        if summary.confirm == "key":
            if self._armed and self._guard.anew:
                self._approve(summary)
            elif self._armed:
                self._note = "A counts again after a second without a key"
            else:
                self._armed, self._note = True, ""
            return
        self._armed, self._note = True, ""
        self.ask(f" A: {summary.question}:", self._typed, by_hand=True)

    def explain(self) -> None:
        """Say why `A` does nothing while approving is locked."""
        if self._summary is not None and self._summary.locks and not self._read_only:
            self._note = _TOO_EARLY
            self._explained_at = time.monotonic()

    def swallows(self) -> bool:
        """Whether a digit is the answer to an approval that did not open: it ticks nothing, and others may follow."""
        if time.monotonic() - self._explained_at >= _ANSWERING:
            return False
        self._explained_at = time.monotonic()
        return True

    def hold(self) -> None:
        """Keep the gate closed on `H`, and drop the typed text."""
        self._armed = False
        self.stop_asking()
        self._note = "kept waiting: nothing goes on until somebody approves or aborts"

    def note(self) -> None:
        """Ask on `N` for words that go into the journal with the approval."""
        if self._summary is not None and not self._read_only and not self._sent and self.deliberate():
            self._armed = False
            self.ask(" N: note for the journal, kept with the approval:", self._noted, by_hand=True)

    def _noted(self, text: str) -> None:
        self._reason = text.strip()
        self.stop_asking()

    def tick(self, item: int) -> None:
        """Tick an item, or untick it."""
        summary = self._summary
        if summary is None or self._read_only or not self.deliberate() or item >= len(summary.checklist):
            return
        ticked = item not in summary.ticked
        self.post_message(Decided(Decide(summary.rollout, ItemTicked(summary.wave, item, ticked, self._by))))

    def tick_next(self) -> None:
        """Tick the first open item."""
        if self._summary is not None:
            items = range(len(self._summary.checklist))
            self.tick(next((item for item in items if item not in self._summary.ticked), len(items)))

    def stop_asking(self) -> None:
        super().stop_asking()
        self._armed = False

    def _typed(self, text: str) -> None:
        summary = self._summary
        if summary is None or not self.can_approve:
            self.stop_asking()
        elif text.strip().replace(",", "") == summary.expected:
            self._approve(summary)
        elif text.strip():
            self.field.value = ""
            self._note = f"{text.strip()!r} is not it: {summary.question}{_expected_hint(summary)}"

    def _approve(self, summary: GateSummary) -> None:
        self.stop_asking()
        self._armed, self._sent, self._note = False, True, ""
        approved = GateApproved(summary.wave, summary.plan_hash, summary.evidence, self._by, self._reason)
        self.post_message(Decided(Decide(summary.rollout, approved)))

    def _changed(self, said: list[str]) -> None:
        if not said:
            return
        if self._armed or self.asking:
            self.stop_asking()
            self._note = f"changed while you were deciding: {'; '.join(said)}"
        self._sent = False

    # its texts

    def _draw(self, summary: GateSummary, now: float) -> None:
        coming = count(len(summary.next_targets), "target")
        waiting = f"waiting {clock(now - summary.opened_at)}"
        question = f"GATE {summary.wave_name} -> {summary.next_name}: {coming} next"
        expiry, urgent = _ends(summary, now)
        self.title(question, waiting, expiry, urgent=urgent)
        if self._drawn != (id(summary), int(now) // 60):
            self._drawn = (id(summary), int(now) // 60)
            self.details(self._details(summary, now))
        self.says(*self._lock_lines(summary))
        self.keys(*self._key_lines(summary))

    def _details(self, summary: GateSummary, now: float) -> list[Content]:
        lines = [_members(summary, now)]
        lines += [
            line("  ", (f"{SYMBOLS[one.kind]} {one.name} {_told(one)}: ", one.kind), one.detail)
            for one in summary.members
            if one.kind not in ("ok", "skipped") and one.detail
        ]
        lines += [line(" ", text) for text in summary.instructions.splitlines()]
        lines += [
            line(
                (f" [{'x' if index in summary.ticked else ' '}] ", "ok" if index in summary.ticked else "strong"),
                (f"{index + 1} ", "key"),
                item,
            )
            for index, item in enumerate(summary.checklist)
        ]
        old = ", ".join(summary.old_releases) or "(unknown)"
        who = f"  started by {summary.started_by}" if summary.started_by else ""
        lines.append(line((" release  ", "dim"), f"{old} -> {summary.release}", (who, "dim")))
        lines.append(line((" next     ", "dim"), in_short(summary.next_targets)))
        return lines

    def _lock_lines(self, summary: GateSummary) -> list[Content]:
        lines = [line((f" {self._note}", "unknown"))] if self._note else []
        lines += [line((" note  ", "dim"), self._reason)] if self._reason else []
        if self._sent:
            lines.append(line((" approval sent; waiting for the engine", "running")))
        elif summary.locks:
            lines.append(line((f" {_locked_words(summary)}", "unknown")))
        return lines

    def _key_lines(self, summary: GateSummary) -> list[Content]:
        if self._read_only:
            return [line((" read only: this terminal cannot answer", "dim"))]
        held = keyed("H", "Keep waiting, also when you leave or disconnect   ", ("X", "key"), " Abort ...")
        if self.asking:
            does = "approves" if self._armed else "keeps the note"
            return [line(f" enter {does}, esc leaves the field", ("  (nothing happens before)", "dim"))]
        return [self._approve_line(summary), held]

    def _approve_line(self, summary: GateSummary) -> Content:
        if not self.can_approve:
            return line((" A Approve", "dim"))
        if summary.confirm == "key":
            again = "wait a second, then press A once more to approve" if self._armed else "press A, then A again"
            return keyed("A", f"Approve: {again}")
        return keyed("A", f"Approve: then {summary.question}{_expected_hint(summary)}, and enter")


def _told(member: Member) -> str:
    """The word before a detail that says itself which steps count as done by whose word."""
    return "ok" if member.kind == "waived" else member.word


def _locked_words(summary: GateSummary) -> str:
    """Tell what opens the approval: `Approve opens when the checklist is done: 1 item left (press its number)`."""
    left = len(summary.checklist) - len(summary.ticked)
    others = [lock for lock in summary.locks if not (left and lock.endswith("of the checklist open"))]
    if not left:
        return f"Approve is locked: {'; '.join(others)}"
    also = f"; also locked: {'; '.join(others)}" if others else ""
    return f"Approve opens when the checklist is done: {count(left, 'item')} left (press its number){also}"


def _ends(summary: GateSummary, now: float) -> tuple[str, bool]:
    """Tell when the gate expires, and whether that is soon: in the last tenth of its time."""
    if summary.expires_at is None:
        return "", False
    left = max(0.0, summary.expires_at - now)
    soon = left <= (summary.expires_at - summary.opened_at) / 10
    return "expired" if summary.expired else f"expires in {short_time(left)}", summary.expired or soon


def _expected_hint(summary: GateSummary) -> str:
    """Spell out the expected word, but not a number, which a person should read above."""
    return "" if summary.confirm == "count" else f": {summary.expected}"


def _members(summary: GateSummary, now: float) -> Content:
    members = summary.members
    pieces: list[TonedText | str] = [(f" {summary.called} {len(members)}: ", "dim")]
    for one in sorted(members, key=lambda one: one.kind in ("ok", "skipped"))[:_SHOWN_MEMBERS]:
        pieces += [(f"{SYMBOLS[one.kind]} ", one.kind), f"{one.name} ", (one.word, one.kind)]
        pieces.append((f" {ago(now - one.ended_at)}  " if one.ended_at else "  ", "dim"))
    if len(members) > _SHOWN_MEMBERS:
        pieces.append((f"and {len(members) - _SHOWN_MEMBERS} more", "dim"))
    return line(*pieces)
