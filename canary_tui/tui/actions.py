"""Every action a key can do: its id, its keys, its words. Bindings, help, palette and footer are made from this."""

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
    "picker": "Targets",
    "plan": "Plan",
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

    A dangerous action changes targets or what will become of them: its keys are capitals.
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
        """The part of the id before the dot: where the keys work."""
        return self.id.partition(".")[0]

    @property
    def action(self) -> str:
        """What Textual calls the action."""
        return self.method or self.id.partition(".")[2].replace("-", "_")


ACTIONS: tuple[KeyAction, ...] = (
    KeyAction("app.help", "question_mark,f1", "Help", "The keys of the pane you are in.", footer=99),
    KeyAction("app.palette", "colon,ctrl+p", "Commands", "Every action by name, with its key.", "command_palette"),
    KeyAction(
        "app.theme", "ctrl+t", "Theme", "The next theme: dark, light, the terminal's own colours, colour-blind safe."
    ),
    KeyAction("app.next-pane", "tab", "Next pane", "Moves to the next pane.", "next_pane"),
    KeyAction("app.quit", "ctrl+q", "Quit", "Leaves; asks first while a rollout is live.", "quit"),
    KeyAction(
        "app.interrupt",
        "ctrl+c",
        "Stop",
        "Leaves; while a rollout is live it starts nothing new and asks what to stop.",
    ),
    # -- lists
    KeyAction("move.up", "up,k", "Up", "One line up."),
    KeyAction("move.down", "down,j", "Down", "One line down."),
    KeyAction("move.page-up", "pageup,ctrl+u", "Page up", "A screen up."),
    KeyAction("move.page-down", "pagedown,ctrl+f", "Page down", "A screen down."),
    KeyAction("move.top", "home,g", "Top", "To the first line."),
    KeyAction("move.bottom", "end,G", "Bottom", "To the last line."),
    # -- text fields
    KeyAction("field.done", "enter", "Done", "Takes what was typed.", footer=1),
    KeyAction("field.leave", "escape", "Leave", "Leaves the field; in the filter: clears it first.", footer=2),
    KeyAction("field.down", "down", "Down", "From the filter into the list."),
    # -- targets
    KeyAction("picker.mark", "space,insert", "Mark", "Marks the target under the cursor and moves on.", footer=1),
    KeyAction("picker.range", "v", "Range", "Starts a range; move, then space marks it.", "span", footer=2),
    KeyAction("picker.all", "a", "All shown", "Marks all that are shown; again: takes their marks away.", footer=3),
    KeyAction(
        "picker.suggest", "s", "Suggest", "Marks fitting canaries: a role, one of each tag value, or 5 %.", footer=4
    ),
    KeyAction(
        "picker.filter",
        "slash",
        "Filter",
        "Shows only what fits: @role key=value name* !not, or plain words.",
        footer=5,
    ),
    KeyAction("picker.plan", "enter", "Plan", "Goes on to the plan with what is marked.", footer=6),
    KeyAction("picker.invert", "i", "Invert", "Turns the marks of all that are shown around."),
    KeyAction("picker.only-marked", "m", "Only marked", "Shows only the marked targets; again: all."),
    KeyAction("picker.undo", "u", "Undo", "Takes back the last change of marks."),
    KeyAction("picker.random", "r", "At random", "Marks so many of the shown targets, picked at random."),
    KeyAction("picker.one-each", "1", "One of each", "Marks one shown target for each value of a tag."),
    KeyAction("picker.extend-down", "shift+down", "Mark down", "Marks while moving down."),
    KeyAction("picker.extend-up", "shift+up", "Mark up", "Marks while moving up."),
    KeyAction("picker.sort", "o", "Sort", "Sorts by the next column."),
    KeyAction("picker.reverse", "O", "Reverse", "Turns the order around."),
    KeyAction("picker.environment", "e", "Environment", "Chooses the environment to roll out to."),
    KeyAction("picker.release", "c", "Release", "Changes the release to roll out."),
    KeyAction("picker.history", "h", "History", "The rollouts of this fleet."),
    KeyAction("picker.reload", "ctrl+r", "Reload", "Reads the fleet file again."),
    KeyAction("picker.clear", "escape", "Clear", "Leaves a range, then the filter; the marks stay."),
    KeyAction("picker.quit", "q", "Quit", "Leaves.", "app.quit"),
    # -- a refused fleet file
    KeyAction("problems.again", "r,enter", "Read again", "Reads the fleet file again.", footer=1),
    KeyAction("problems.leave", "q,escape", "Leave", "Leaves.", footer=2),
    # -- dialogs
    KeyAction("help.close", "escape,q,question_mark,f1", "Close", "Closes the help."),
    KeyAction("question.refuse", "escape", "Refuse", "Refuses this target; the others go on."),
    KeyAction("leave.leave", "L", "Leave", "Leaves; the rollout can be resumed.", footer=1, dangerous=True),
    KeyAction("leave.stay", "escape,q", "Stay", "Goes back to the rollout.", footer=2),
    KeyAction("choose.up", "k", "Up", "One line up."),
    KeyAction("choose.down", "j", "Down", "One line down."),
    KeyAction("choose.leave", "escape,q", "Leave", "Chooses nothing."),
    # -- plan
    KeyAction("plan.start", "S", "Start", "Starts the rollout, after one more enter.", footer=2, dangerous=True),
    KeyAction(
        "plan.preflight",
        "P",
        "Preflight",
        "Connects to every target and looks; changes nothing.",
        footer=2,
        dangerous=True,
    ),
    KeyAction("plan.confirm", "enter", "Start now", "Starts, once S was pressed.", footer=1),
    KeyAction("plan.names", "n", "All names", "Shows every target's name, or as few lines as say it.", footer=3),
    KeyAction("plan.back", "escape,q", "Back", "Goes back; nothing was started.", footer=5),
    # -- rollout
    KeyAction(
        "rollout.stop", "X", "Stop", "Starts nothing new while it asks what to stop.", "ask_stop", 8, dangerous=True
    ),
    KeyAction(
        "rollout.shell",
        "T",
        "Shell",
        "Opens a shell on the target under the cursor, by your own ssh; its end goes back.",
        footer=9,
        dangerous=True,
    ),
    KeyAction("rollout.next-failed", "n", "Next failed", "Goes to the next target that is not ok."),
    KeyAction("rollout.result", "v", "Result", "How it ended, once it has.", footer=1),
    KeyAction("rollout.back", "q", "Back", "Leaves this screen; asks while the rollout is live."),
    # -- log
    KeyAction("log.follow", "f,G", "Follow", "Shows the newest line, and stays with it.", footer=10),
    KeyAction("log.search", "slash", "Search", "Finds text; n and N go on.", footer=11),
    KeyAction("log.filter", "ampersand", "Filter", "Shows only the lines with a text; empty: all again.", footer=12),
    KeyAction("log.merged", "l", "Merged", "The output of all targets in one, with their names.", footer=13),
    KeyAction(
        "log.grouped",
        "d",
        "Grouped",
        "All output, what is equal once; what differs open, its first line marked.",
        footer=14,
    ),
    KeyAction("log.wrap", "w", "Wrap", "Breaks long lines, or cuts them.", footer=15),
    KeyAction("log.copy", "y", "Copy", "Copies the line under the cursor, and writes it to a file.", footer=17),
    KeyAction("log.export", "e", "Pager", "Opens the whole log in $PAGER.", footer=18),
    KeyAction("log.time", "t", "Time", "Shows or hides the time of each line.", footer=16),
    KeyAction("lines.next-match", "n", "Next match", "Goes to the next line with the searched text."),
    KeyAction("lines.previous-match", "N", "Previous match", "Goes to the one before."),
    KeyAction("lines.left", "left", "Left", "Scrolls long lines back."),
    KeyAction("lines.right", "right", "Right", "Scrolls long lines."),
    # -- gate
    KeyAction(
        "gate.approve", "A", "Approve", "Lets the next wave go, after its number was typed.", footer=1, dangerous=True
    ),
    KeyAction("gate.hold", "H", "Hold", "Leaves the gate as it is.", footer=2, dangerous=True),
    KeyAction(
        "gate.abort", "X", "Abort", "No more targets; then roll back, or leave as it is.", "abort", 3, dangerous=True
    ),
    KeyAction("gate.tick", "1,2,3,4,5,6,7,8,9", "Tick", "Ticks an item of the checklist, or opens it again."),
    KeyAction("gate.scroll-up", "left_square_bracket", "Scroll up", "Scrolls what the panel says."),
    KeyAction("gate.scroll-down", "right_square_bracket", "Scroll down", "Scrolls what the panel says."),
    # -- failed targets
    KeyAction("failures.retry", "R", "Retry", "Runs the failed step again, only there.", footer=1, dangerous=True),
    KeyAction("failures.skip", "K", "Skip step", "Goes on as if the step had ended ok.", footer=2, dangerous=True),
    KeyAction("failures.exclude", "E", "Exclude", "Does nothing more on these targets.", footer=3, dangerous=True),
    KeyAction("failures.rollback", "B", "Roll back", "Their former release again.", "roll_back", 4, dangerous=True),
    KeyAction("failures.settle", "U", "Settle", "Says what became of an unknown outcome.", footer=5, dangerous=True),
    KeyAction(
        "failures.abort", "X", "Abort", "No more targets; then roll back, or leave.", "abort_failed", 6, dangerous=True
    ),
    # -- abort
    KeyAction(
        "abort.rollback", "B", "Roll back", "Aborts; what was changed goes back.", "abort_back", 1, dangerous=True
    ),
    KeyAction("abort.leave", "L", "Leave", "Aborts; what was changed stays.", "abort_leave", 2, dangerous=True),
    KeyAction("abort.back", "escape", "Back", "Nothing is aborted.", "abort_cancel", footer=3),
    # -- result
    KeyAction("result.leave", "q", "Leave", "Leaves, with the exit code that is shown.", footer=1),
    KeyAction("result.logs", "escape", "Logs", "Looks at the logs again.", footer=2),
    # -- history
    KeyAction("history.open", "enter", "Open", "Shows the rollout again, read only.", footer=1),
    KeyAction("history.resume", "R", "Resume", "Goes on with a rollout that has not ended.", footer=2, dangerous=True),
    KeyAction("history.back", "escape,q", "Back", "Goes back.", footer=3),
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
    """The action of an id."""
    return _BY_ID.get(action_id or "")


def bindings(*names: str) -> list[BindingType]:
    """Textual's bindings for whole panes or single ids; none has priority, so a text field keeps its keys."""
    return [
        Binding(action.keys, action.action, action.label, show=action.footer > 0, id=action.id)
        for action in ACTIONS
        if action.pane in names or action.id in names
    ]


def key_sign(key: str) -> str:
    """How a key is written on the screens: `?`, `esc`, `ctrl+q`."""
    return "+".join(_SIGNS.get(part, part) for part in key.split("+"))


def key_signs(keys: str) -> str:
    """The same for the several keys of one action."""
    return " ".join(key_sign(key.strip()) for key in keys.split(",") if key.strip())


def key_table(keymap: dict[str, str] | None = None) -> str:
    """Every action with its keys, as `canary-tui keys` prints it; `keymap` holds the keys that were changed."""
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
