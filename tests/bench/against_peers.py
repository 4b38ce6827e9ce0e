"""Our headless rollout of `true` against the tools that operators have, on real sshd: python tests/bench/against_peers.py

The peers connect, run `true` and leave. We do that, too, and preflight, journal, logs and host keys besides.
Peers that are not installed are left out with a line; `--path DIR` looks for them in DIR first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import measuring
from measuring import Run, middle
from targets_apart import TargetsApart

_CURVE = "-oKexAlgorithms=curve25519-sha256"
_BODY = """
[[steps]]
name = "nothing"
run = "true"
durable = {durable}

[[waves]]
name = "all"
parallel = {parallel}
"""
_PARALLEL_SSH = """
import sys
from pssh.clients import ParallelSSHClient
from pssh.config import HostConfig
hosts, port, key, user, size = open(sys.argv[1]).read().split(), int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
client = ParallelSSHClient(hosts, user=user, port=port, pkey=key, pool_size=size, allow_agent=False, num_retries=1)
output = list(client.run_command("true"))
client.join(output)
sys.exit(any(host.exit_code for host in output))
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to run `true` everywhere. `peer` is false for our own."""

    name: str
    run: Callable[[], Run]
    peer: bool = True


def main() -> None:
    arguments = _arguments()
    os.environ["PATH"] = os.pathsep.join([*arguments.path, os.environ["PATH"]])
    with TargetsApart(arguments.targets) as targets:
        contenders = [*_ours(targets, arguments), *_peers(targets, arguments)]
        runs: dict[str, list[Run]] = {one.name: [] for one in contenders}
        served: dict[str, list[float]] = {one.name: [] for one in contenders}
        for _ in range(arguments.rounds):  # in turn, so that a noisy minute is everybody's
            for one in contenders:
                before = targets.cpu()
                runs[one.name].append(_checked(one))
                served[one.name].append(targets.cpu() - before)
    _report(contenders, runs, served, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--parallel", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--path", action="append", default=[], metavar="DIR")
    return parser.parse_args()


def _checked(one: Contender) -> Run:
    done = one.run()
    if done.code:
        sys.exit(f"{one.name} ended with {done.code}:\n{done.output[-3000:]}")
    return done


def _ours(targets: TargetsApart, arguments: argparse.Namespace) -> list[Contender]:
    def rollout(durable: str) -> Callable[[], Run]:
        fleet = targets.fleet(_BODY.format(durable=durable, parallel=arguments.parallel), f"durable-{durable}")
        command = [sys.executable, "-m", "canary_tui", "run", fleet, "--release", "1", "--headless"]

        def once() -> Run:
            with tempfile.TemporaryDirectory() as state:
                return measuring.run(command, {"CANARY_TUI_STATE": state})

        return once

    return [
        Contender("canary-tui", rollout("true"), peer=False),
        Contender("canary-tui, durable = false", rollout("false"), peer=False),
    ]


def _peers(targets: TargetsApart, arguments: argparse.Namespace) -> list[Contender]:
    hosts = targets.folder / "hosts.txt"
    hosts.write_text("".join(f"{target.address}\n" for target in targets.targets))
    plain = f"-F{targets.ssh_config}"
    found = []
    for make in (_xargs, _pdsh, _clush, _ansible):
        for name, options in (("", plain), (", curve25519", f"{plain} {_CURVE}")):
            contender = make(hosts, options, arguments.parallel, name)
            if contender is None:
                print(f"{make.__name__[1:]}: not installed", file=sys.stderr)
                break
            found.append(contender)
    if parallel_ssh := _parallel_ssh(targets, hosts, arguments.parallel):
        found.append(parallel_ssh)
    else:
        print("parallel-ssh: not installed", file=sys.stderr)
    return found


def _xargs(hosts: os.PathLike[str], options: str, parallel: int, name: str) -> Contender | None:
    line = f"xargs -P {parallel} -I HOST ssh {options} HOST true < {hosts}"
    return Contender(f"xargs ssh{name}", lambda: measuring.run(["sh", "-c", line]))


def _pdsh(hosts: os.PathLike[str], options: str, parallel: int, name: str) -> Contender | None:
    if not shutil.which("pdsh"):
        return None
    command = ["pdsh", "-R", "ssh", "-S", "-f", parallel, "-w", f"^{hosts}", "true"]
    return Contender(f"pdsh{name}", lambda: measuring.run(command, {"PDSH_SSH_ARGS_APPEND": options}))


def _clush(hosts: os.PathLike[str], options: str, parallel: int, name: str) -> Contender | None:
    if not shutil.which("clush"):
        return None
    command = ["clush", "-S", "-q", "-f", parallel, "-o", options, "--hostfile", hosts, "true"]
    return Contender(f"clush{name}", lambda: measuring.run(command))


def _ansible(hosts: os.PathLike[str], options: str, parallel: int, name: str) -> Contender | None:
    if not shutil.which("ansible"):
        return None
    command = ["ansible", "all", "-i", hosts, "-f", parallel, "-m", "raw", "-a", "true", "-o"]
    environment = {
        "ANSIBLE_SSH_ARGS": f"{options} -oControlMaster=no",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": f"{hosts}.ansible",
    }
    return Contender(f"ansible raw{name}", lambda: measuring.run(command, environment))


def _parallel_ssh(targets: TargetsApart, hosts: os.PathLike[str], parallel: int) -> Contender | None:
    places = [shutil.which("python3", path=place) for place in os.environ["PATH"].split(os.pathsep)]
    for python in (sys.executable, *filter(None, places)):
        if subprocess.run([python, "-c", "import pssh.clients"], capture_output=True).returncode == 0:
            words = [hosts, targets.port, targets.identity, os.environ.get("USER") or "root", parallel]
            command = [python, "-c", _PARALLEL_SSH, *words]
            return Contender("parallel-ssh, host keys unchecked", lambda: measuring.run(command))
    return None


def _report(
    contenders: list[Contender],
    runs: dict[str, list[Run]],
    served: dict[str, list[float]],
    arguments: argparse.Namespace,
) -> None:
    wall = {name: middle(run.wall for run in some) for name, some in runs.items()}
    cpu = {name: 1000 * middle(run.cpu for run in some) / arguments.targets for name, some in runs.items()}
    server = {name: 1000 * middle(some) / arguments.targets for name, some in served.items()}
    peers = [one.name for one in contenders if one.peer]
    best_wall, best_cpu = min(wall[name] for name in peers), min(cpu[name] for name in peers)
    rows = [
        [
            one.name,
            f"{wall[one.name]:.2f}",
            f"{wall[one.name] / best_wall:.2f}",
            f"{cpu[one.name]:.1f}",
            f"{cpu[one.name] / best_cpu:.2f}",
            f"{server[one.name]:.1f}",
        ]
        for one in contenders
    ]
    print(f"\n`true` on {arguments.targets} targets, {arguments.parallel} at a time, real sshd on the same machine,")
    print(f"medians of {arguments.rounds} rounds. {measuring.machine()}\n")
    head = ["", "wall s", "x best peer", "client CPU ms/target", "x best peer", "server CPU ms/target"]
    print(measuring.table(head, rows))
    ours = [one.name for one in contenders if not one.peer]
    if len(ours) == 2:
        durable, plain = ours
        print("\nWhat a durable step costs above a plain one, a target; in brackets the rounds' extremes:")
        print(
            "  client CPU", _difference([run.cpu for run in runs[durable]], [run.cpu for run in runs[plain]], arguments)
        )
        print("  server CPU", _difference(served[durable], served[plain], arguments))
        print(
            "  wall      ",
            _difference([run.wall for run in runs[durable]], [run.wall for run in runs[plain]], arguments),
        )


def _difference(durable: list[float], plain: list[float], arguments: argparse.Namespace) -> str:
    each = [1000 * (one - other) / arguments.targets for one, other in zip(durable, plain)]
    unresolved = "" if min(each) * max(each) > 0 else ", so not told apart from noise"
    return f"{middle(each):+.1f} ms [{min(each):+.1f} to {max(each):+.1f}{unresolved}]"


if __name__ == "__main__":
    main()
