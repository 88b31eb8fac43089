"""pidlock against flock, setlock, chpst, s6-setlock and start-stop-daemon."""

import os
import signal
import tempfile
from pathlib import Path

from load import asleep
from measure import Contender, Started, Wrong, memory, run, side_by_side, wait_until
from report import Section

# How each runs a COMMAND under a lock, failing at once when another has it.
WAYS = {
    "pidlock F -- true": ["pidlock", "{}", "--"],
    "pidlock -F F -- true": ["pidlock", "-F", "{}", "--"],
    "flock -n F true": ["flock", "-n", "{}"],
    "flock -n -F F true": ["flock", "-n", "-F", "{}"],
    "setlock -n F true": ["setlock", "-n", "{}"],
    "chpst -L F true": ["chpst", "-L", "{}"],
    "s6-setlock -n F true": ["s6-setlock", "-n", "{}"],
    "start-stop-daemon": [
        "start-stop-daemon",
        "--start",
        "--quiet",
        "--make-pidfile",
        "--pidfile",
        "{}",
        "--startas",
    ],
}


def measure(quick: bool) -> Section:
    section = Section("pidlock: a command under a lock")
    with tempfile.TemporaryDirectory() as folder:
        contenders = [Contender("true (no lock)", ["/bin/true"])]
        for number, (label, words) in enumerate(WAYS.items()):
            argv = [word.format(f"{folder}/{number}.pid") for word in words]
            contender = Contender(label, [*argv, "/bin/true"], ours=label.startswith("pidlock F"))
            if contender.there:
                keeps_out(argv, folder)
            contenders.append(contender)
        present = section.timings(
            "Take the lock, run `true`", side_by_side(contenders, 100 if quick else 1_000)
        )
        section.lacks(one.label for one in contenders if not one.there)
        section.ratio("lock and run", present, "pidlock F -- true", "flock -n F true", 1)
        section.ratio("lock and run", present, "pidlock -F F -- true", "setlock -n F true", 1)
        section.ratio("lock and run", present, "pidlock -F F -- true", "flock -n -F F true", 1)
        waiting(section, folder)
    return section


def keeps_out(argv: list[str], folder: str) -> None:
    """A second one must fail while the first holds the lock; otherwise it is no lock."""
    held, hold = Path(folder, "held"), Path(folder, "hold")
    hold.write_text(f"#!/bin/sh\ntouch {held}\nexec sleep 60\n")
    hold.chmod(0o755)
    holder = Started([*argv, str(hold)])
    try:
        wait_until(f"{argv[0]} runs its command", held.exists)
        if run([*argv, "/bin/true"]).code == 0:
            raise Wrong(f"{argv[0]} lets a second command in")
    finally:
        held.unlink(missing_ok=True)
        end_tree(holder)


def end_tree(holder: Started) -> None:
    """Ends a wrapper and its command."""
    for child in children(holder):
        os.kill(child, signal.SIGKILL)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()


def children(holder: Started) -> list[int]:
    text = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def waiting(section: Section, folder: str) -> None:
    """What the wrappers that stay hold in memory while their command runs."""
    rows = []
    for label, argv in {
        "pidlock F -- sleep": ["pidlock", f"{folder}/wait.pid", "--"],
        "flock -n F sleep": ["flock", "-n", f"{folder}/wait.lock"],
    }.items():
        kilobytes = memory_of([*argv, "/bin/sleep", "60"])
        rows.append([f"`{label}`", *kilobytes.values()])
        if argv[0] == "pidlock":
            section.target(
                "private memory of the waiting `pidlock`", kilobytes["Private"], 1_024, " KB"
            )
    columns = ["waiting process", "Rss KB", "Pss KB", "private KB", "peak Rss KB"]
    section.table("Memory while COMMAND runs", columns, rows)


def memory_of(argv: list[str]) -> dict[str, int]:
    """The memory of a wrapper that waits for its command."""
    wrapper = Started(argv)
    try:
        wait_until("the command runs", lambda: any(map(asleep, children(wrapper))))
        wait_until("its wrapper waits", lambda: asleep(wrapper.pid))
        return memory(wrapper.pid)
    finally:
        end_tree(wrapper)
