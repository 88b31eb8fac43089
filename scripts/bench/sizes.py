"""How large the binaries are, and those of the peers with the libraries that they load."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from report import Section
from startup import TOOLS

PEERS = (
    "lsof",
    "fuser",
    "ss",
    "killport",
    "flock",
    "setlock",
    "curl",
    "wget",
    "busybox",
    "daemon",
    "runsv",
    "s6-supervise",
    "tini",
    "dumb-init",
    "catatonit",
    "node",
)


def measure(_quick: bool) -> Section:
    section = Section("Sizes")
    rows = [[f"`{tool}` (static)", size(shutil.which(tool)), "-"] for tool in TOOLS]
    section.target(
        "`waithealth`, static with TLS", size(shutil.which("waithealth")) / 1e6, 2.7, " MB"
    )
    slim = os.environ.get("SLIM_WAITHEALTH", "")
    if Path(slim).is_file():
        rows.append(["`waithealth` (static, `--no-default-features`)", size(slim), "-"])
        section.target("`waithealth`, static without TLS", size(slim) / 1e6, 1.7, " MB")
    for peer in PEERS:
        path = shutil.which(peer)
        if path is None:
            section.lacks([peer])
            continue
        rows.append([f"`{peer}`", size(path), sum(size(library) for library in libraries(path))])
    section.table("Bytes on disk", ["program", "binary", "libraries it loads"], rows)
    return section


def size(path: str | None) -> int:
    return os.stat(path or "").st_size


def libraries(path: str) -> list[str]:
    """The shared libraries of a program, by ldd(1)."""
    told = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", told)
