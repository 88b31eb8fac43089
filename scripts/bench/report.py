"""What a section found, kept as JSON, and the page made of all of them."""

import json
import os
import platform
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from measure import Contender
from plot import Plot, draw

SECTIONS = ("ports", "trees", "locks", "health", "supervisors", "startup", "sizes")


@dataclass
class Section:
    """Tables, targets and plots of one section, in the order in which they are shown."""

    title: str
    tables: list[dict] = field(default_factory=list)
    targets: list[dict] = field(default_factory=list)
    plots: dict[str, Plot] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def table(self, title: str, columns: list[str], rows: list[list[object]]) -> None:
        """Adds a table; numbers are shown with three digits that count."""
        cells = [[show(cell) for cell in row] for row in rows]
        self.tables.append({"title": title, "columns": columns, "rows": cells})

    def timings(self, title: str, contenders: list[Contender]) -> dict[str, Contender]:
        """Adds a table of medians with the ratio of ours to each peer; yields who took part."""
        present = {one.label: one for one in contenders if one.runs}
        self.lacks(one.label for one in contenders if not one.runs)
        first = next((one for one in present.values() if one.ours), None)
        rows = []
        for one in present.values():
            ratio = "" if first is None or one is first else first.wall / one.wall
            rows.append([f"`{one.label}`", one.wall, one.cpu, ratio, len(one.runs)])
        against = f"`{first.label}` / this" if first else "ratio"
        self.table(title, ["command", "wall ms", "cpu ms", against, "runs"], rows)
        return present

    def lacks(self, labels: object) -> None:
        """Notes peers that could not be had."""
        self.missing += [label for label in labels if label not in self.missing]

    def target(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """Adds a figure that must not exceed its limit."""
        self.targets.append(
            {
                "what": what,
                "value": f"{show(value)}{unit}",
                "limit": f"{show(limit)}{unit}",
                "holds": value <= limit,
            }
        )

    def ratio(
        self, what: str, present: dict[str, Contender], ours: str, peer: str, limit: float
    ) -> None:
        """Adds a target on the ratio of two medians, where both took part."""
        if ours in present and peer in present:
            value = present[ours].wall / present[peer].wall
            self.target(f"{what}: `{ours}` / `{peer}`", value, limit)


def show(cell: object) -> str:
    """A number with three digits that count, anything else as it is."""
    if not isinstance(cell, (int, float)) or isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3f}" if abs(cell) < 0.1 else f"{cell:.2f}" if abs(cell) < 10 else f"{cell:.1f}"


def machine() -> str:
    """Processor, memory and kernel."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    cores = len(os.sched_getaffinity(0))
    return (
        f"{models[0] if models else platform.machine()}, {cores} cores, "
        f"{kilobytes / 2**20:.0f} GB, {platform.system()} {platform.release()}"
    )


def keep(folder: Path, name: str, section: Section, when: str, command: str) -> None:
    """Writes a section's results to folder/NAME.json, and its plots beside them."""
    for stem, plot in section.plots.items():
        (folder / f"{stem}.svg").write_text(draw(plot))
    data = asdict(section) | {"when": when, "command": command, "machine": machine()}
    data["plots"] = {stem: plot.title for stem, plot in section.plots.items()}
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")


def write_page(folder: Path) -> Path:
    """Makes folder/RESULTS.md of the last results of each section."""
    results = {
        name: json.loads(path.read_text())
        for name in SECTIONS
        if (path := folder / f"{name}.json").exists()
    }
    lines = [
        "# Side by side",
        "",
        "Medians. Within a table all commands took turns in one run, and each run had to do its",
        "job to count. Ratios are ours to the peer's: below 1 is faster. Absolute times drift with",
        "the machine.",
        "",
    ]
    lines += heads(results) + targets(results)
    for result in results.values():
        lines += [f"## {result['title']}", ""]
        for table in result["tables"]:
            lines += [f"**{table['title']}**", "", *markdown(table["columns"], table["rows"]), ""]
        for stem, title in result["plots"].items():
            lines += [f"![{title}]({stem}.svg)", ""]
        if result["missing"]:
            lines += ["Could not be had here: " + ", ".join(result["missing"]) + ".", ""]
    lines += versions(folder)
    page = folder / "RESULTS.md"
    page.write_text("\n".join(lines))
    return page


def heads(results: dict[str, dict]) -> list[str]:
    """When, where and how each section ran; sections of one run share a line."""
    runs: dict[tuple[str, ...], list[str]] = {}
    for name, result in results.items():
        key = (result["when"], result["command"], result["machine"])
        runs.setdefault(key, []).append(name)
    rows = [
        [when, f"`{command}`", ", ".join(names), place]
        for (when, command, place), names in runs.items()
    ]
    return [*markdown(["date", "command", "sections", "machine"], rows), ""]


def targets(results: dict[str, dict]) -> list[str]:
    """All figures that were asked for, with the verdict."""
    verdict = {True: "yes", False: "**no**"}
    rows = [
        [one["what"], one["value"], one["limit"], verdict[one["holds"]]]
        for result in results.values()
        for one in result["targets"]
    ]
    columns = ["figure", "measured", "at most", "holds"]
    return ["## Targets", "", *markdown(columns, rows), ""]


def versions(folder: Path) -> list[str]:
    """The versions that peers.sh wrote down, and what it could not get."""
    rows = [line.split("\t") for line in (folder / "versions.tsv").read_text().splitlines()]
    return ["## Versions", "", *markdown(["program", "version", "from"], rows), ""]


def markdown(columns: list[str], rows: list[list[str]]) -> list[str]:
    """A table; columns of nothing but numbers are set to the right."""
    number = re.compile(r"[\d,.]*|-")
    numeric = [all(number.fullmatch(row[at]) for row in rows) for at in range(len(columns))]
    rule = ["---:" if right else "---" for right in numeric]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [columns, rule, *cells]]
