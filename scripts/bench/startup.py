"""What one start of each tool costs, beside the smallest programs there are."""

from measure import Contender, peak_kilobytes, side_by_side
from report import Section

TOOLS = ("portfree", "pidlock", "treekill", "waithealth", "procwatch")


def measure(quick: bool) -> Section:
    section = Section("Start-up: `--version` of each")
    contenders = [
        *(Contender(f"{tool} -V", [tool, "-V"]) for tool in TOOLS),
        Contender("busybox true (static)", ["busybox", "true"]),
        Contender("true (dynamic)", ["/bin/true"]),
        Contender("flock -V", ["flock", "-V"]),
        Contender("curl -V", ["curl", "-V"]),
        Contender("node -v", ["node", "-v"], rounds=20),
    ]
    present = side_by_side(contenders, 50 if quick else 500)
    section.lacks(one.label for one in contenders if not one.there)
    rows = [
        [f"`{one.label}`", one.wall, one.cpu, peak_kilobytes(one.argv) or "-"] for one in present
    ]
    section.table("One start", ["command", "wall ms", "cpu ms", "peak Rss KB"], rows)
    return section
