"""Runs the sections, as PID 1 of namespaces of their own: bench.sh starts it there.

run.py FOLDER COMMAND [--quick] SECTION...
"""

import datetime
import importlib
import os
import subprocess
import sys
import traceback
from pathlib import Path

from measure import Wrong
from report import keep, write_page


def main(folder: Path, command: str, words: list[str]) -> int:
    """Measures each section and writes its results; one that fails does not keep the others."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    quick = "--quick" in words
    failed = []
    for name in (word for word in words if word != "--quick"):
        print(f"bench.sh: {name}", file=sys.stderr, flush=True)
        try:
            section = importlib.import_module(name).measure(quick)
        except Wrong as wrong:
            print(f"bench.sh: {name}: {wrong}", file=sys.stderr)
            failed.append(name)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        else:
            when = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC"
            keep(folder, name, section, when, command)
    print(write_page(folder))
    return 1 if failed else 0


def reap_until(pid: int) -> int:
    """What PID 1 does: reaps every orphan at once, and ends with that child's exit code."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 1


if __name__ == "__main__":
    if (worker := os.fork()) == 0:
        os._exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
    sys.exit(reap_until(worker))
