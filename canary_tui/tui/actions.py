"""The registry of keys: each action's id, keys and words. Bindings, help, palette and footer are made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual.binding import Binding, BindingType

TITLES: dict[str, str] = {
    "app": "Everywhere",
    "move": "Moving",
    "field": "Text fields",
    "help": "Help",
    "question": "Questions",
    "leave": "Leaving",
    "choose": "Choices",
    "problems": "Problems",
    "open": "Open rollouts",
    "picker": "Targets",
    "plan": "Plan",
    "step": "Step",
    "rollout": "Rollout",
    "log": "Log",
    "lines": "Log, with the focus",
    "gate": "Gate",
    "failures": "Failed targets",
    "abort": "Abort",
    "stop": "Stop",
    "result": "Result",
    "history": "History",
}


@dataclass(frozen=True, slots=True)
class KeyAction:
    """One thing to do. `method` is the pane's `action_...`; `footer` orders the footer, 0 keeps it out.

    A dangerous action changes targets or decides about them: its keys are capitals.
    """

    id: str
    keys: str
    label: str
    help: str
    method: str = ""
    footer: int = 0
    dangerous: bool = False

    @property
    def pane(self) -> str:
        """The part of the id before the dot: the pane in which the keys work."""
        return self.id.partition(".")[0]

    @property
    def action(self) -> str:
        """Textual's name for the action."""
        return self.method or self.id.partition(".")[2].replace("-", "_")


ACTIONS: tuple[KeyAction, ...] = (
    KeyAction("app.help", "question_mark,f1", "Help", "Show the keys of the pane you are in.", footer=99),
    KeyAction("app.palette", "colon,ctrl+p", "Commands", "Find every action by name, with its key.", "command_palette"),
    KeyAction("app.theme", "ctrl+t", "Theme", "Switch the theme: dark, light, the terminal's colours, colour-blind."),
    KeyAction("app.next-pane", "tab", "Next pane", "Move to the next pane.", "next_pane"),
    KeyAction("app.quit", "ctrl+q", "Quit", "Leave; ask first while a rollout is live.", "quit"),
    KeyAction(
        "app.interrupt",
        "ctrl+c",
        "Stop",
        "Ask what to stop in a live rollout; otherwise leave.",
    ),
    # -- lists
    KeyAction("move.up", "up,k", "Up", "Move up one line."),
    KeyAction("move.down", "down,j", "Down", "Move down one line."),
    KeyAction("move.page-up", "pageup,ctrl+u", "Page up", "Move up one screen."),
    KeyAction("move.page-down", "pagedown,ctrl+f", "Page down", "Move down one screen."),
    KeyAction("move.top", "home,g", "Top", "Move to the first line."),
    KeyAction("move.bottom", "end,G", "Bottom", "Move to the last line."),
    # -- text fields
    KeyAction("field.done", "enter", "Done", "Accept the text.", footer=1),
    KeyAction("field.leave", "escape", "Leave", "Leave the field; a filter is cleared first.", footer=2),
    KeyAction("field.down", "down", "Down", "Move from the filter to the list."),
    # -- targets
    KeyAction("picker.mark", "space,insert", "Mark", "Mark the selected target and move to the next.", footer=2),
    KeyAction("picker.range", "v", "Range", "Start a range; space marks all up to the cursor.", "span", footer=6),
    KeyAction("picker.all", "a", "All shown", "Mark all listed targets, or unmark them.", footer=5),
    KeyAction("picker.suggest", "s", "Suggest", "Mark suitable canaries: a role, one per tag value, or 5 %.", footer=4),
    KeyAction(
        "picker.filter",
        "slash",
        "Filter",
        "List only matching targets: @role key=value name* !not, or words.",
        footer=3,
    ),
    KeyAction("picker.plan", "enter", "Plan", "Show the plan for the marked targets.", footer=1),
    KeyAction("picker.invert", "i", "Invert", "Invert the marks of the listed targets."),
    KeyAction("picker.only-marked", "m", "Only marked", "List only the marked targets, or all again."),
    KeyAction("picker.undo", "u", "Undo", "Undo the last change of marks."),
    KeyAction("picker.random", "r", "At random", "Mark N random targets of those listed."),
    KeyAction("picker.one-each", "1", "One of each", "Mark one listed target for each value of a tag."),
    KeyAction("picker.extend-down", "shift+down", "Mark down", "Mark while moving down."),
    KeyAction("picker.extend-up", "shift+up", "Mark up", "Mark while moving up."),
    KeyAction("picker.sort", "o", "Sort", "Sort by the next column."),
    KeyAction("picker.reverse", "O", "Reverse", "Reverse the order."),
    KeyAction("picker.environment", "e", "Environment", "Choose the environment to roll out to."),
    KeyAction("picker.release", "c", "Release", "Change the release to roll out."),
    KeyAction("picker.history", "h", "History", "List the rollouts of this fleet."),
    KeyAction("picker.reload", "ctrl+r", "Reload", "Read the fleet file again."),
    KeyAction("picker.clear", "escape", "Clear", "Cancel a range, then clear the filter; marks stay."),
    KeyAction("picker.quit", "q", "Quit", "Leave.", "app.quit", footer=7),
    # -- a refused fleet file
    KeyAction("problems.again", "r,enter", "Read again", "Read the fleet file again.", footer=1),
    KeyAction("problems.leave", "q,escape", "Leave", "Leave.", footer=2),
    # -- dialogs
    KeyAction("help.close", "escape,q,question_mark,f1", "Close", "Close the help."),
    KeyAction("question.refuse", "escape", "Refuse", "Refuse this target; the others continue."),
    KeyAction("leave.leave", "L", "Leave", "Leave; the rollout can be resumed.", footer=1, dangerous=True),
    KeyAction("leave.stay", "escape,q", "Stay", "Return to the rollout.", footer=2),
    KeyAction("choose.up", "k", "Up", "Move up one line."),
    KeyAction("choose.down", "j", "Down", "Move down one line."),
    KeyAction("choose.leave", "escape,q", "Leave", "Close without a choice."),
    # -- open rollouts of the fleet
    KeyAction("open.resume", "R", "Resume", "Resume the selected rollout.", footer=1, dangerous=True),
    KeyAction("open.look", "enter", "Look", "Show the selected rollout read only.", footer=2),
    KeyAction("open.new", "n,escape", "New one", "Pick canaries for a new rollout.", footer=3),
    KeyAction("open.up", "k", "Up", "Move up one line."),
    KeyAction("open.down", "j", "Down", "Move down one line."),
    # -- plan
    KeyAction("plan.start", "S", "Start", "Start the rollout; enter confirms.", footer=2, dangerous=True),
    KeyAction(
        "plan.preflight",
        "P",
        "Preflight",
        "Connect to every target and check it; changes nothing.",
        footer=2,
        dangerous=True,
    ),
    KeyAction("plan.confirm", "enter", "Start now", "Confirm the start after S.", footer=1),
    KeyAction("plan.names", "n", "Names", "Show every target's name, or names in short.", footer=4),
    KeyAction("plan.copy", "y", "Copy hash", "Copy the plan's hash, which an approval is bound to.", footer=5),
    KeyAction("plan.back", "escape,q", "Back", "Return to the targets; nothing was started.", footer=6),
    KeyAction(
        "step.open", "enter", "Open step", "Open the selected step: its whole text, and who runs it.", "open_step", 3
    ),
    KeyAction("step.back", "escape,q", "Back", "Return to the plan.", footer=1),
    # -- rollout
    KeyAction("rollout.stop", "X", "Stop", "Start nothing new and ask what to stop.", "ask_stop", 8, dangerous=True),
    KeyAction(
        "rollout.shell",
        "T",
        "Shell",
        "Open a shell on the selected target with your ssh; exit returns.",
        footer=9,
        dangerous=True,
    ),
    KeyAction(
        "rollout.give-up",
        "W",
        "Stop waiting",
        "Call the step of a lost target unknown, and settle it.",
        "give_up",
        footer=7,
        dangerous=True,
    ),
    KeyAction("rollout.next-failed", "n", "Next failed", "Move to the next target that is not ok.", footer=10),
    KeyAction("rollout.result", "v", "Result", "Show the result once the rollout has ended.", footer=1),
    KeyAction("rollout.back", "q", "Back", "Leave this screen; ask first while the rollout is live.", footer=20),
    # -- log
    KeyAction("log.follow", "f,G", "Follow", "Show the newest line and follow the output.", footer=10),
    KeyAction("log.search", "slash", "Search", "Search for text; n and N move between matches.", footer=11),
    KeyAction("log.filter", "ampersand", "Filter", "Show only lines that contain a text; empty shows all.", footer=12),
    KeyAction("log.merged", "l", "Merged", "Show the output of all targets merged, with their names.", footer=13),
    KeyAction(
        "log.grouped",
        "d",
        "Grouped",
        "Group identical logs; open differing ones, first difference marked.",
        footer=14,
    ),
    KeyAction("log.wrap", "w", "Wrap", "Wrap long lines, or cut them.", footer=15),
    KeyAction("log.copy", "y", "Copy", "Copy the selected line, also to a file.", footer=17),
    KeyAction("log.export", "e", "Pager", "Open the whole log in $PAGER.", footer=18),
    KeyAction("log.clear", "escape", "Clear", "Clear the search, then the filter.", "clear_finds"),
    KeyAction("log.time", "t", "Time", "Show or hide the time of each line.", footer=16),
    KeyAction("lines.next-match", "n", "Next match", "Move to the next match."),
    KeyAction("lines.previous-match", "N", "Previous match", "Move to the previous match."),
    KeyAction("lines.left", "left", "Left", "Scroll long lines to the left."),
    KeyAction("lines.right", "right", "Right", "Scroll long lines to the right."),
    # -- gate
    KeyAction(
        "gate.approve",
        "A",
        "Approve",
        "Approve the next wave; asks for its number of targets.",
        footer=1,
        dangerous=True,
    ),
    KeyAction(
        "gate.hold",
        "H",
        "Keep waiting",
        "Keep the gate closed, also when you leave or lose the connection.",
        footer=2,
        dangerous=True,
    ),
    KeyAction(
        "gate.abort", "X", "Abort", "Abort: no further targets; then roll back or keep.", "abort", 3, dangerous=True
    ),
    KeyAction("gate.note", "N", "Note", "Write a note that is kept with the approval.", footer=7),
    KeyAction("gate.tick", "1,2,3,4,5,6,7,8,9", "Tick", "Tick an item of the checklist, or untick it."),
    KeyAction("gate.scroll-up", "left_square_bracket", "Scroll up", "Scroll the panel up."),
    KeyAction("gate.scroll-down", "right_square_bracket", "Scroll down", "Scroll the panel down."),
    # -- failed targets
    KeyAction(
        "failures.retry",
        "R",
        "Retry",
        "Retry the failed step on these targets; the rollout continues.",
        footer=1,
        dangerous=True,
    ),
    KeyAction("failures.skip", "K", "Skip", "Skip the failed step and treat it as ok.", footer=5, dangerous=True),
    KeyAction(
        "failures.exclude",
        "E",
        "Exclude",
        "Run no further steps on these targets; they count as not deployed.",
        footer=2,
        dangerous=True,
    ),
    KeyAction(
        "failures.rollback",
        "B",
        "Roll back",
        "Roll these targets back to their previous release, and exclude them.",
        "roll_back",
        4,
        dangerous=True,
    ),
    KeyAction(
        "failures.settle",
        "U",
        "Settle",
        "Settle an unknown outcome by hand: done, failed or retry.",
        footer=3,
        dangerous=True,
    ),
    KeyAction(
        "failures.abort",
        "X",
        "Abort",
        "Abort: no further targets; then roll back or keep.",
        "abort_failed",
        3,
        dangerous=True,
    ),
    # -- abort
    KeyAction(
        "abort.rollback", "B", "Roll back", "Abort and roll back the changed targets.", "abort_back", 1, dangerous=True
    ),
    KeyAction("abort.keep", "K", "Keep", "Abort and keep what was deployed.", "abort_leave", 2, dangerous=True),
    KeyAction("abort.back", "escape", "Back", "Return without aborting.", "abort_cancel", footer=3),
    # -- result
    KeyAction("result.leave", "q", "Leave", "Leave with the exit code that is shown.", footer=1),
    KeyAction("result.logs", "escape", "Logs", "Return to the logs.", footer=2),
    # -- history
    KeyAction("history.open", "enter", "Open", "Open the rollout read only.", footer=1),
    KeyAction("history.resume", "R", "Resume", "Resume a rollout that has not ended.", footer=2, dangerous=True),
    KeyAction("history.back", "escape,q", "Back", "Return to the targets.", footer=3),
)

_BY_ID = {action.id: action for action in ACTIONS}

_SIGNS = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "ampersand": "&",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "up": "↑",
    "down": "↓",
}


def find_action(action_id: str | None) -> KeyAction | None:
    """Find an action by its id."""
    return _BY_ID.get(action_id or "")


def bindings(*names: str) -> list[BindingType]:
    """Make Textual's bindings for whole panes or single ids; none has priority, so a text field keeps its keys."""
    return [
        Binding(action.keys, action.action, action.label, show=action.footer > 0, id=action.id)
        for action in ACTIONS
        if action.pane in names or action.id in names
    ]


def key_sign(key: str) -> str:
    """Write a key as the screens do: `?`, `esc`, `ctrl+q`."""
    return "+".join(_SIGNS.get(part, part) for part in key.split("+"))


def key_signs(keys: str) -> str:
    """Write the several keys of one action."""
    return " ".join(key_sign(key.strip()) for key in keys.split(",") if key.strip())


def key_table(keymap: dict[str, str] | None = None) -> str:
    """List every action with its keys, as `canary-tui keys` prints it; `keymap` holds the changed keys."""
    return "\n".join(_table_rows(ACTIONS, keymap or {})) + "\n"


def _table_rows(actions: Iterable[KeyAction], keymap: dict[str, str]) -> Iterable[str]:
    pane = ""
    for action in actions:
        if action.pane != pane:
            yield from ([""] if pane else [])
            pane = action.pane
            yield TITLES[pane]
        keys = key_signs(keymap.get(action.id, action.keys)) or "(none)"
        yield f"  {action.id:22} {keys:14} {action.help}"
