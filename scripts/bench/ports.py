"""portfree against lsof, ss, fuser, killport, kill-port and fkill."""

import statistics
import time

from load import Server, bindable, crowd, free_port, server
from measure import Contender, Run, run, side_by_side
from plot import Plot
from report import Section

# Processes, and descriptors that one more process holds.
IDLE, LOADED = (100, 0), (2_000, 19_900)


def measure(quick: bool) -> Section:
    section = Section("portfree: finding holders and freeing ports")
    for processes, descriptors in (IDLE, LOADED):
        with crowd(processes, descriptors), server() as held:
            find(section, held, 5 if quick else 30, processes, descriptors)
    free(section, 3 if quick else 20)
    section.plots["portfree-growth"] = growth(3 if quick else 15)
    return section


def finders(held: Server) -> list[Contender]:
    """Who can say which process holds the port."""
    port, pid = str(held.port), str(held.pid)

    def names_it(result: Run) -> bool:
        return pid in result.output.replace(",", " ").replace("=", " ").split()

    return [
        Contender("portfree --pids", ["portfree", "--pids", port], names_it, ours=True),
        Contender("lsof -ti:PORT", ["lsof", f"-ti:{port}"], names_it),
        Contender("ss -ltnp", ["ss", "-ltnp", f"sport = :{port}"], names_it),
        Contender("fuser PORT/tcp", ["fuser", f"{port}/tcp"], names_it),
        Contender("killport --dry-run", ["killport", "--dry-run", port], lambda r: r.code == 0),
    ]


def find(section: Section, held: Server, rounds: int, processes: int, descriptors: int) -> None:
    """Who holds the port, and whether a port is held at all."""
    load = f"{processes:,} processes" + (f", {descriptors:,} open files" if descriptors else "")
    port, other = str(held.port), str(free_port())
    named = section.timings(f"Who holds the port? {load}", side_by_side(finders(held), rounds))
    checks = [
        Contender("portfree --check (held)", ["portfree", "-c", port], lambda r: r.code == 1, True),
        Contender("portfree --check (free)", ["portfree", "-c", other]),
        Contender("ss -ltn", ["ss", "-ltn"], lambda r: f":{port} " in r.output),
        Contender("lsof -ti:PORT (free)", ["lsof", f"-ti:{other}"], lambda r: r.code == 1),
    ]
    checked = section.timings(f"Is the port held? {load}", side_by_side(checks, rounds))
    for kind in ("held", "free"):
        section.ratio(load, checked, f"portfree --check ({kind})", "ss -ltn", 1)
    if descriptors:
        section.ratio(load, named, "portfree --pids", "ss -ltnp", 0.75)
        section.ratio(load, named, "portfree --pids", "lsof -ti:PORT", 0.3)


def free(section: Section, rounds: int) -> None:
    """Ends a fresh server each time; what counts is whether the next one could start at once."""
    ways = {
        "portfree PORT": "portfree {}",
        "lsof -ti:PORT | xargs kill": "sh -c 'lsof -ti:{} | xargs kill'",
        "fuser -k -TERM PORT/tcp": "fuser -k -TERM {}/tcp",
        "killport PORT": "killport {}",
        "kill-port PORT": "kill-port {}",
        "fkill :PORT": "fkill :{}",
    }
    rows: dict[str, list[Run]] = {}
    at_once = dict.fromkeys(ways, 0)
    for _ in range(rounds):
        for label, line in ways.items():
            words = line.split(" ", 2) if line.startswith("sh") else line.split()
            argv = [word.strip("'") for word in words]
            if not Contender(label, argv).there:
                section.lacks([label])
                continue
            with server() as held:
                result = run([word.format(held.port) for word in argv])
                at_once[label] += bindable(held.port)
            rows.setdefault(label, []).append(result)
    section.table(
        "Free the port of a server that ends at TERM",
        ["command", "wall ms", "cpu ms", "a server could start at once"],
        [
            [
                f"`{label}`",
                statistics.median(r.wall for r in runs),
                statistics.median(r.cpu for r in runs),
                f"{at_once[label]} of {len(runs)}",
            ]
            for label, runs in rows.items()
        ],
    )
    ours = rows["portfree PORT"]
    section.target(
        "`portfree PORT` returned and the port was not free",
        len(ours) - at_once["portfree PORT"],
        0,
    )


def growth(rounds: int) -> Plot:
    """How the time to find the holder grows with the number of processes."""
    plot = Plot(
        "Finding who holds a port",
        "processes on the machine",
        "wall time, ms",
        log_x=True,
        log_y=True,
    )
    for processes in (100, 250, 500, 1_000, 2_000, 4_000):
        with crowd(processes), server() as held:
            time.sleep(0.1)
            for one in side_by_side(finders(held)[:4], rounds):
                plot.add(one.label, processes, one.wall)
    return plot
