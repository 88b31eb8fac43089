"""waithealth against wait-on, curl, wget and the loops that people write."""

import random
import statistics
import tempfile
import time
from pathlib import Path

from load import Server, free_port, server
from measure import Contender, Started, Wrong, peak_kilobytes, run, side_by_side
from plot import Plot
from report import Section

URL, TCP = "http://127.0.0.1:{}/health", "127.0.0.1:{}"
LOOP = "until curl -fsS -o /dev/null {} 2>/dev/null; do sleep 0.1; done"
CONNECT = "until (: </dev/tcp/127.0.0.1/{}) 2>/dev/null; do sleep 0.1; done"

# Waiters by kind of readiness, with the settings that come with each.
HTTP = {
    "waithealth": ["waithealth", URL],
    "wait-on": ["wait-on", "http-get://127.0.0.1:{}/health"],
    "curl --retry": [
        "curl",
        "-fsS",
        "--retry",
        "100",
        "--retry-connrefused",
        "--retry-max-time",
        "60",
        "-o",
        "/dev/null",
        URL,
    ],
    "loop of curl, sleep 0.1": ["bash", "-c", LOOP.format(URL)],
    # Writes down when its test command begins: its own end comes later.
    "start-server-and-test": ["start-server-and-test", "sleep 60", URL, "date +%s%N >{stamp}"],
}
KINDS = {
    "tcp": {
        "waithealth": ["waithealth", f"tcp://{TCP}"],
        "wait-on": ["wait-on", f"tcp:{TCP}"],
        "loop of /dev/tcp, sleep 0.1": ["bash", "-c", CONNECT],
    },
    "http": HTTP,
    "503 turning 200": HTTP,
}


def measure(quick: bool) -> Section:
    section = Section("waithealth: waiting for health")
    for kind, waiters in KINDS.items():
        late(section, kind, waiters, 4 if quick else 25)
    once(section, 20 if quick else 300)
    polling(section, 3 if quick else 15)
    return section


def late(section: Section, kind: str, waiters: dict[str, list[str]], rounds: int) -> None:
    """How long after a server became ready each waiter returned.

    Start-up times go evenly through 0.3 to 3 s and each waiter gets the same ones.
    """
    plot = Plot(
        f"How late health is seen ({kind})",
        "the server's start-up time, s",
        "seen late by, ms",
        log_y=True,
        dots=True,
    )
    dice = random.Random(1)
    for number in range(rounds):
        delay = 0.3 + 2.7 * (number + dice.random()) / rounds
        for label, words in waiters.items():
            if not Contender(label, words).there:
                section.lacks([label])
                continue
            plot.add(label, delay, lateness(words, delay, kind.startswith("503")))
    section.plots["waithealth-" + kind.replace(" ", "-")] = plot
    medians = {
        label: statistics.median(y for _, y in points) for label, points in plot.series.items()
    }
    ours = medians["waithealth"]
    section.table(
        f"Seen late by ({kind}; the server takes 0.3 to 3 s)",
        ["waiter", "median ms", "worst ms", "`waithealth` / this", "runs"],
        [
            [
                f"`{label}`",
                median,
                max(y for _, y in plot.series[label]),
                "" if label == "waithealth" else ours / median,
                len(plot.series[label]),
            ]
            for label, median in medians.items()
        ],
    )
    if kind in ("tcp", "http"):
        section.target(f"`waithealth` sees a server ({kind}) late by, median", ours, 10, " ms")
        if "wait-on" in medians:
            section.target(
                f"lateness ({kind}): `waithealth` / `wait-on`", ours / medians["wait-on"], 0.1
            )


def lateness(words: list[str], delay: float, early: bool) -> float:
    """Milliseconds from a server's readiness to the waiter's end, which must be success."""
    with tempfile.TemporaryDirectory() as folder:
        stamp = Path(folder, "stamp")
        this = Server(delay, early)
        try:
            result = Started([word.format(this.port, stamp=stamp) for word in words]).wait()
            ended = int(stamp.read_text()) if stamp.exists() else time.time_ns()
            ready = this.ready_at()
        finally:
            this.clear()
    if result.code != 0 or ended < ready:
        raise Wrong(f"{' '.join(words)}: {result.code}, {(ended - ready) / 1e6} ms after readiness")
    return (ended - ready) / 1e6


def once(section: Section, rounds: int) -> None:
    """One check of a healthy server."""
    with server() as healthy:
        url = URL.format(healthy.port)
        contenders = [
            Contender("waithealth --once URL", ["waithealth", "--once", url], ours=True),
            Contender("curl -fsS URL", ["curl", "-fsS", "-o", "/dev/null", url]),
            Contender("busybox wget URL", ["busybox", "wget", "-q", "-O", "/dev/null", url]),
            Contender("wget URL", ["wget", "-q", "-O", "/dev/null", url]),
            Contender("wait-on URL", ["wait-on", url.replace("http:", "http-get:")], rounds=10),
        ]
        present = section.timings("One HTTP check", side_by_side(contenders, rounds))
        section.lacks(one.label for one in contenders if not one.there)
        peaks = {label: peak_kilobytes(one.argv) for label, one in present.items()}
    section.table(
        "Peak memory of one HTTP check",
        ["command", "peak Rss KB"],
        [[f"`{label}`", peak or "-"] for label, peak in peaks.items()],
    )
    ours = "waithealth --once URL"
    section.ratio("one HTTP check", present, ours, "curl -fsS URL", 0.35)
    section.ratio("one HTTP check", present, ours, "busybox wget URL", 1)
    if (peak := peaks[ours]) is not None:
        section.target("peak memory of one HTTP check", peak / 1024, 3, " MB")


def polling(section: Section, seconds: int) -> None:
    """What it costs to ask a port that refuses, for that long."""
    port = free_port()
    rows = []
    for label, words in {
        "waithealth tcp://": ["waithealth", "-t", str(seconds), f"tcp://{TCP}"],
        "waithealth http://": ["waithealth", "-t", str(seconds), URL],
        "wait-on http-get://": ["timeout", str(seconds), *HTTP["wait-on"]],
        "loop of curl, sleep 0.1": ["timeout", str(seconds), *HTTP["loop of curl, sleep 0.1"]],
    }.items():
        result = run([word.format(port) for word in words])
        if result.code != 124:
            raise Wrong(f"{label}: {result.code} instead of 124")
        share = 100 * result.cpu / result.wall
        rows.append([f"`{label}`", share])
        if label.startswith("waithealth"):
            section.target(f"polling a refused port: `{label}`", share, 2, " % of a core")
    section.table(
        f"Processor time while a port refuses ({seconds} s)", ["waiter", "% of a core"], rows
    )
