"""Runs commands side by side and keeps the medians.

Contenders take turns, one run each a round, so that a machine that grows slower or faster during
the measurement does so for all of them: ratios survive what absolute times do not.
"""

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ENVIRONMENT = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


class Wrong(Exception):
    """A contender did not do its job: its times would mean nothing."""


@dataclass
class Run:
    """One run of a command: milliseconds on the wall and of processor time, and what it said."""

    wall: float
    cpu: float
    code: int
    output: str = ""


@dataclass
class Contender:
    """A command that takes part. `right` says whether a run of it did the job."""

    label: str
    argv: list[str]
    right: Callable[[Run], bool] = lambda run: run.code == 0
    ours: bool = False
    # A slow one may sit out most rounds.
    rounds: int | None = None
    runs: list[Run] = field(default_factory=list)

    @property
    def there(self) -> bool:
        return shutil.which(self.argv[0]) is not None

    @property
    def wall(self) -> float:
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)


class Started:
    """A process that was started directly (no shell, no Python in between)."""

    def __init__(self, argv: list[str], output: int | None = None) -> None:
        program = shutil.which(argv[0])
        if program is None:
            raise Wrong(f"{argv[0]}: not found")
        null = os.open(os.devnull, os.O_RDWR)
        out = null if output is None else output
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, out, 1)]
        actions.append((os.POSIX_SPAWN_DUP2, null, 2))
        self.begun = time.perf_counter_ns()
        self.pid = os.posix_spawn(program, argv, ENVIRONMENT, file_actions=actions)
        os.close(null)

    def wait(self) -> Run:
        _, status, usage = os.wait4(self.pid, 0)
        wall = (time.perf_counter_ns() - self.begun) / 1e6
        cpu = (usage.ru_utime + usage.ru_stime) * 1e3
        return Run(wall, cpu, os.waitstatus_to_exitcode(status))


def run(argv: list[str]) -> Run:
    """Runs a command to its end, its standard output read from an unnamed file."""
    with open(os.memfd_create("output"), "w+b", buffering=0) as output:
        result = Started(argv, output.fileno()).wait()
        output.seek(0)
        result.output = output.read().decode(errors="replace")
    return result


def side_by_side(contenders: list[Contender], rounds: int) -> list[Contender]:
    """Lets all that are there take turns; the first round warms up and counts for nothing.

    Raises `Wrong` when one of them does not do its job, in whichever round.
    """
    present = [contender for contender in contenders if contender.there]
    for number in range(rounds + 1):
        for contender in present:
            if number > (contender.rounds or rounds):
                continue
            result = run(contender.argv)
            if not contender.right(result):
                said = f"{result.code}, {result.output[:200]!r}"
                raise Wrong(f"{' '.join(contender.argv)}: {said}")
            if number > 0:
                contender.runs.append(result)
    return present


def peak_kilobytes(argv: list[str]) -> int | None:
    """Peak resident memory, by GNU time: the figure of wait4(2) would include this Python's own."""
    if shutil.which("/usr/bin/time") is None:
        return None
    report = subprocess.run(
        ["/usr/bin/time", "-q", "-f", "%M", *argv],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return int(report.stderr.split()[-1])


def memory(pid: int) -> dict[str, int]:
    """Rss, Pss, Private (clean and dirty) and peak VmHWM of a process, in KB (proc(5))."""
    fields: dict[str, int] = {}
    for name in ("smaps_rollup", "status"):
        for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                fields[words[0].rstrip(":")] = int(words[1])
    private = fields["Private_Clean"] + fields["Private_Dirty"]
    return {
        "Rss": fields["Rss"],
        "Pss": fields["Pss"],
        "Private": private,
        "VmHWM": fields["VmHWM"],
    }


def wait_until(what: str, condition: Callable[[], bool], seconds: float = 30) -> None:
    """Polls a condition each millisecond; raises `Wrong` when its time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(f"not within {seconds} s: {what}")
        time.sleep(0.001)
