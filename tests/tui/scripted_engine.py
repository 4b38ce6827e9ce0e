"""An engine that speaks the real protocol over the real socket, and does only what its arguments say.

    scripted_engine.py [--log FILE] [--ask KIND] [--die] [--refuse WHY] [--directory DIR] --fd N

Targets whose name begins with `dead` are unreachable. Every command it is given is a line in FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys

from canary_tui.domain.codec import encode
from canary_tui.domain.planning.plan import Plan
from canary_tui.engine.messages import (
    Answered,
    Asked,
    Command,
    Notice,
    Opened,
    Preflight,
    Preflighted,
    Quit,
    Ready,
    Refused,
    Resume,
    Start,
    read_command,
    to_line,
)
from canary_tui.engine.target import Question

parser = argparse.ArgumentParser()
parser.add_argument("--fd", type=int)
parser.add_argument("--log")
parser.add_argument("--ask", default="")
parser.add_argument("--words", default="")
parser.add_argument("--die", action="store_true")
parser.add_argument("--refuse", default="")
parser.add_argument("--directory", default="")
options = parser.parse_args()

line_socket = socket.socket(fileno=options.fd)
stream = line_socket.makefile("rwb")


def say(notice: Notice) -> None:
    stream.write(to_line(notice))
    stream.flush()


def ask(target: str) -> None:
    about = Question(options.ask, target, f"{target}.example:22", options.words, "ssh-ed25519", "SHA256:abcdefgh")
    say(Asked(1, about))


def look(plan: Plan) -> None:
    for name in plan.targets:
        if name.startswith("dead"):
            say(Preflighted(name, "unreachable", detail="connection refused"))
        else:
            say(Preflighted(name, "ok", release="1.4.1", clock_offset=0.2, free_bytes=12 * 10**9))


def obey(command: Command) -> bool:
    if options.log:
        with open(options.log, "a", encoding="utf-8") as log:
            log.write(json.dumps(encode(command)) + "\n")
    if options.refuse and isinstance(command, Preflight | Start):
        say(Refused(type(command).__name__, options.refuse))
        return True
    match command:
        case Preflight():
            if options.ask:
                ask(next(iter(command.plan.targets)))
            look(command.plan)
        case Start():
            say(Opened(os.path.basename(options.directory), options.directory))
        case Resume():
            say(Opened(os.path.basename(command.directory), command.directory))
        case Answered():
            pass
        case Quit():
            return False
    return not (options.die and isinstance(command, Start))


say(Ready(os.getpid(), "0"))
while (line := stream.readline()) and obey(read_command(line)):
    pass
if options.die:
    sys.stderr.write("MemoryError\n")
    sys.exit(1)
