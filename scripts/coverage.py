"""Prints the table of coverage.sh, from the two exports of cargo-llvm-cov in a folder."""

import collections
import json
import pathlib
import re
import sys

folder = pathlib.Path(sys.argv[1])
root = pathlib.Path.cwd()
# Where the unit tests of a file begin: they are executed, but are not what is measured.
TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod \w+ \{", re.MULTILINE)


class File:
    """What was executed of one source file: key of a line, function or region -> count."""

    def __init__(self, path):
        self.text = path.read_text()
        tests = TESTS.search(self.text)
        self.end = self.text.count("\n", 0, tests.start()) + 1 if tests else sys.maxsize
        self.counts = {"lines": {}, "functions": {}, "regions": {}}

    def note(self, kind, key, count):
        if key[0] < self.end:
            counts = self.counts[kind]
            counts[key] = max(count, counts.get(key, 0))


files = {}
for line in (folder / "lines.lcov").read_text().splitlines():
    word, _, rest = line.partition(":")
    if word == "SF":
        current = files[rest] = File(pathlib.Path(rest))
    elif word == "DA":
        number, count = map(int, rest.split(",")[:2])
        current.note("lines", (number,), count)
for function in json.loads((folder / "coverage.json").read_text())["data"][0]["functions"]:
    for index, (*place, count, file, _, kind) in enumerate(function["regions"]):
        name = function["filenames"][file]
        if kind == 0 and name in files:
            files[name].note("regions", tuple(place), count)
            if index == 0:
                files[name].note("functions", tuple(place), count)


def row(name, group):
    """The share of executed lines, and a line of a table with all three kinds."""
    cells, shares = [], []
    for kind in ("lines", "functions", "regions"):
        counts = [count for file in group for count in file.counts[kind].values()]
        executed = sum(count > 0 for count in counts)
        shares.append(100 * executed / len(counts) if counts else 100)
        cells.append(f"{executed:,} of {len(counts):,} ({shares[-1]:.1f} %)")
    return shares[0], f"| {name} | {' | '.join(cells)} |"


def shown(name):
    return pathlib.Path(name).relative_to(root)


crates = collections.defaultdict(list)
for name, file in files.items():
    crates[shown(name).parts[0]].append(file)
print("| crate | lines | functions | regions |\n|---|---|---|---|")
for crate, group in sorted(crates.items()):
    print(row(crate, group)[1])
print(row("all", files.values())[1])

rows = [row(shown(name), [file]) for name, file in sorted(files.items())]
low = [text for share, text in rows if share < 80]
if low:
    print("\n| file under 80 % | lines | functions | regions |\n|---|---|---|---|")
    print("\n".join(low))

with open(folder / "missing.txt", "w") as missing:
    for name, file in sorted(files.items()):
        text = file.text.splitlines()
        for (number,), count in sorted(file.counts["lines"].items()):
            if count == 0:
                missing.write(f"{shown(name)}:{number}: {text[number - 1]}\n")
