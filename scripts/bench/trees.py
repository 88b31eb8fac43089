"""treekill against a bare group kill, the recipe of psutil's documentation, and tree-kill."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from load import Tree
from measure import Contender, Run, run
from plot import Plot
from report import Section

# Ends a tree as psutil's documentation does: all children, TERM, wait, KILL.
PSUTIL = """
import psutil, sys
root = psutil.Process(int(sys.argv[1]))
tree = [*root.children(recursive=True), root]
for process in tree: process.terminate()
_, alive = psutil.wait_procs(tree, timeout=5)
for process in alive: process.kill()
"""
VENV = str(Path(__file__).parents[2] / "target/bench/venv/bin/python3")
KILL = "kill -KILL -- -PGID"


@dataclass
class Way:
    """A way to end a tree.

    A slow one ends a large tree only this many times, in a quick run not once; the largest never.
    """

    label: str
    argv: list[str]
    few: int | None = None

    def sits_out(self, members: int, number: int, quick: bool) -> bool:
        """Whether it takes no part in this round."""
        if self.few is None or members < 1_000:
            return False
        return quick or members > 1_000 or number >= self.few


WAYS = [
    Way("treekill PID", ["treekill", "{}"]),
    Way("treekill -g 0 PID", ["treekill", "-g", "0", "{}"]),
    Way(KILL, ["/bin/kill", "-KILL", "--", "-{}"]),
    Way("psutil's recipe", [VENV, "-c", PSUTIL, "{}"], few=5),
    Way("tree-kill PID (npm)", ["tree-kill", "{}"], few=1),
]


def measure(quick: bool) -> Section:
    section = Section("treekill: ending a tree")
    plot = Plot(
        "Ending a tree, to the last member's death",
        "members of the tree",
        "wall time, ms",
        log_x=True,
        log_y=True,
    )
    for members in (10, 100, 1_000, 4_000):
        rounds = 15 if not quick else 3 if members < 4_000 else 1
        runs, survived = rounds_of(section, members, rounds, quick)
        medians = {label: statistics.median(r.wall for r in each) for label, each in runs.items()}
        for label, median in medians.items():
            plot.add(label, members + 1, median)
        if members == 1_000:
            show(section, members, runs, survived)
            for label in ("treekill PID", "treekill -g 0 PID"):
                ratio = medians[label] / medians[KILL]
                section.target(f"{members + 1:,} processes: `{label}` / `{KILL}`", ratio, 3)
    section.plots["treekill-growth"] = plot
    return section


def rounds_of(
    section: Section, members: int, rounds: int, quick: bool
) -> tuple[dict[str, list[Run]], dict[str, int]]:
    """A fresh tree for each way in each round. The time runs until the command has returned and
    the last member is dead, whichever comes later."""
    runs: dict[str, list[Run]] = {}
    survived: dict[str, int] = {}
    for number in range(rounds):
        for way in WAYS:
            if not Contender(way.label, way.argv).there:
                section.lacks([way.label])
                continue
            if way.sits_out(members, number, quick):
                continue
            tree = Tree(members)
            begun = time.perf_counter_ns()
            result = run([word.format(tree.pid) if word != PSUTIL else word for word in way.argv])
            gone = tree.gone_within(5)
            result.wall = max(result.wall, (time.perf_counter_ns() - begun) / 1e6)
            survived[way.label] = survived.get(way.label, 0) + (not gone)
            runs.setdefault(way.label, []).append(result)
            tree.clear()
    return runs, survived


def show(
    section: Section, members: int, runs: dict[str, list[Run]], survived: dict[str, int]
) -> None:
    """The table, and that nothing was left when ours returned."""
    ours = statistics.median(r.wall for r in runs["treekill PID"])
    rows = []
    for label, each in runs.items():
        wall = statistics.median(r.wall for r in each)
        cpu = statistics.median(r.cpu for r in each)
        rows.append(
            [
                f"`{label}`",
                wall,
                cpu,
                "" if label == "treekill PID" else ours / wall,
                f"{survived[label]} of {len(each)}",
                len(each),
            ]
        )
    section.table(
        f"A root and {members:,} sleeping children, one process group",
        ["command", "wall ms", "cpu ms", "`treekill PID` / this", "trees left alive", "runs"],
        rows,
    )
