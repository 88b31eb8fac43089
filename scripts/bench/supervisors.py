"""procwatch against daemon, bash, runsv, s6-supervise, supervisord, pm2 and plain inits."""

import itertools
import os
import shutil
import signal
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measure import ENVIRONMENT, Contender, memory, side_by_side, wait_until
from report import Section

SUPERVISORD = """[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={folder}/supervisord.pid
[program:one]
command={command}
autorestart=true
startsecs=0
"""


@dataclass
class Way:
    """How one supervisor keeps a COMMAND running; `restarts` it can show in reasonable time."""

    label: str
    start: Callable[[Path, str], list[str]]
    restarts: int = 0


def service(folder: Path, command: str) -> str:
    """A service folder, as runsv and s6-supervise read it."""
    script = folder / "run"
    script.write_text(f"#!/bin/sh\nexec {command}\n")
    script.chmod(0o755)
    return str(folder)


def supervisord(folder: Path, command: str) -> list[str]:
    configuration = folder / "supervisord.conf"
    configuration.write_text(SUPERVISORD.format(folder=folder, command=command))
    return ["supervisord", "-c", str(configuration)]


def pm2(folder: Path, command: str) -> list[str]:
    """The daemon that pm2 leaves behind, started in the foreground; it ends with the namespace."""
    words = command.split()
    return [
        "env",
        f"PM2_HOME={folder}",
        "pm2",
        "start",
        words[0],
        "--no-daemon",
        "--silent",
        "--max-restarts",
        "100000",
        "--interpreter",
        "none",
        "--",
        *words[1:],
    ]


WAYS = [
    Way(
        "procwatch -b 0 -m 0",
        lambda _, command: ["procwatch", "-b", "0", "-m", "0", "--", *command.split()],
        200,
    ),
    Way(
        "daemon -r",
        lambda _, command: [
            "daemon",
            # It would refuse a program under /tmp.
            "--unsafe",
            "--foreground",
            "--respawn",
            "--attempts=100",
            "--",
            *command.split(),
        ],
        90,
    ),
    Way("bash loop", lambda _, command: ["bash", "-c", f"while :; do {command}; done"], 200),
    Way("pm2", pm2, 50),
    Way("runsv", lambda folder, command: ["runsv", service(folder, command)], 3),
    Way("s6-supervise", lambda folder, command: ["s6-supervise", service(folder, command)], 3),
    Way("supervisord", supervisord, 3),
    Way("tini", lambda _, command: ["tini", "-s", "--", *command.split()]),
    Way("dumb-init", lambda _, command: ["dumb-init", "--", *command.split()]),
    Way("catatonit", lambda _, command: ["catatonit", "--", *command.split()]),
]


@contextmanager
def running(way: Way, command: str) -> Iterator[tuple[Path, int]]:
    """A supervisor at work in a folder of its own: the folder, and its PID."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name, "service")
        folder.mkdir()
        argv = way.start(folder, command.format(folder=name))
        process = subprocess.Popen(
            argv,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield Path(name), process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def measure(quick: bool) -> Section:
    section = Section("procwatch: starting again, and waiting")
    here = [way for way in WAYS if shutil.which(way.label.split()[0])]
    section.lacks(way.label for way in WAYS if way not in here)
    restarts(section, here, quick)
    three_hundred(section, 3 if quick else 15)
    idle(section, here, 5 if quick else 20)
    return section


def restarts(section: Section, ways: list[Way], quick: bool) -> None:
    """From the last instruction of a COMMAND to the first of the next one."""
    rounds = 1 if quick else 3
    gaps: dict[str, list[float]] = {}
    for _ in range(rounds):
        for way in ways:
            if way.restarts:
                gaps.setdefault(way.label, []).extend(crashes(way))
    medians = {label: statistics.median(each) for label, each in gaps.items()}
    ours = WAYS[0].label
    section.table(
        "From a crash to the next start's `main`",
        ["supervisor", "median ms", "worst ms", f"`{ours}` / this", "restarts"],
        [
            [
                f"`{label}`",
                median,
                max(gaps[label]),
                "" if label == ours else medians[ours] / median,
                len(gaps[label]),
            ]
            for label, median in medians.items()
        ],
    )
    if "daemon -r" in medians:
        section.target(
            "crash to next start: `procwatch -b 0` / `daemon -r`",
            medians[ours] / medians["daemon -r"],
            1,
        )


def crashes(way: Way) -> list[float]:
    """Milliseconds of each pause, from the moments that the crashing program wrote down."""
    with running(way, "bench-crasher {folder}/moments") as (folder, _):
        moments = folder / "moments"
        wanted = 16 * (way.restarts + 1)
        wait_until(
            f"{way.label} restarts {way.restarts} times",
            lambda: moments.exists() and moments.stat().st_size >= wanted,
        )
        data = moments.read_bytes()[:wanted]
    runs = list(struct.iter_unpack("qq", data))
    return [(after[0] - before[1]) / 1e6 for before, after in itertools.pairwise(runs)]


def three_hundred(section: Section, rounds: int) -> None:
    """300 restarts of a program that fails at once, beside a loop that just runs it."""
    loop = "i=0; while [ $i -le 300 ]; do /bin/false; i=$((i + 1)); done"
    contenders = [
        Contender(
            "procwatch -m 300 -b 0 -- false",
            ["procwatch", "-q", "-m", "300", "-b", "0", "--", "/bin/false"],
            lambda r: r.code == 1,
            ours=True,
        ),
        Contender("loop of sh", ["sh", "-c", loop]),
    ]
    present = section.timings("301 runs of `false`", side_by_side(contenders, rounds))
    section.ratio("300 restarts", present, contenders[0].label, "loop of sh", 1.5)


def idle(section: Section, ways: list[Way], seconds: int) -> None:
    """Memory, and system calls in some seconds, while COMMAND sleeps."""
    rows = []
    for way in ways:
        if way.label == "bash loop":
            continue
        with running(way, "/bin/sleep 1000") as (_, pid):
            wait_until("COMMAND runs", lambda: sleeps_below(pid))
            time.sleep(1 if way.label != "pm2" else 5)
            kilobytes = memory(pid)
            calls = system_calls(pid, seconds)
        rows.append(
            [
                f"`{way.label.split()[0]}`",
                kilobytes["Rss"],
                kilobytes["Pss"],
                "-" if calls is None else calls,
            ]
        )
        if way is WAYS[0]:
            section.target("Pss of an idle `procwatch`", kilobytes["Pss"], 1_229, " KB")
            if calls is not None:
                section.target(f"its system calls in {seconds} s", calls, 0)
    columns = ["supervisor", "Rss KB", "Pss KB", f"system calls in {seconds} s"]
    section.table("Asleep, with a COMMAND that sleeps", columns, rows)


def sleeps_below(pid: int) -> bool:
    """Whether some descendant of a process is `sleep`."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        name = Path(f"/proc/{child}/comm").read_text().strip()
        if name == "sleep" or sleeps_below(int(child)):
            return True
    return False


def system_calls(pid: int, seconds: int) -> int | None:
    """How many system calls all threads of a process made, by strace(1)."""
    if shutil.which("strace") is None:
        return None
    with tempfile.NamedTemporaryFile("r") as trace:
        tracer = subprocess.Popen(
            ["strace", "-qq", "-f", "-o", trace.name, "-p", str(pid)], stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        tracer.terminate()
        tracer.wait()
        # A call that was under way when we looked, or when we left, is not one that was made.
        lines = [line for line in trace if "detached" not in line and "<unfinished" not in line]
    return len([line for line in lines if "restart_syscall" not in line])
