"""Kill the main job at a random moment and run it again: `python -m scripts.chaos.demo [--seed N]`."""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

COMMAND = [sys.executable, "-m", "backend.cli", "demo", "--json"]
LATEST_SECONDS = 45.0
STATE = Path(".refi")


def main() -> int:
    """Kill one run with SIGKILL, end one with SIGINT, then insist on a whole one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    chance = random.Random(parser.parse_args().seed)  # noqa: S311 - moments, not secrets
    for end in (signal.SIGKILL, signal.SIGINT):
        moment = chance.uniform(1.0, LATEST_SECONDS)
        print(f"demo, {end.name} after {moment:.1f} s", flush=True)
        with subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            time.sleep(moment)
            run.send_signal(end)
            run.wait()
        left = leftovers()
        print(f"  processes left behind: {len(left)}", flush=True)
        if end is signal.SIGINT and left:
            return 1
    print("demo, to its end", flush=True)
    done = subprocess.run(COMMAND, stdout=subprocess.PIPE, check=False)
    ok = done.returncode == 0 and json.loads(done.stdout)["ok"]
    print("ok" if ok else "FAILED", flush=True)
    return 0 if ok and not leftovers() else 1


def leftovers() -> list[int]:
    """Return the process ids of services that the demo's book names and that still live."""
    book = STATE / "demo" / "services.json"
    if not book.exists():
        return []
    return [entry["pid"] for entry in json.loads(book.read_text()) if psutil.pid_exists(entry["pid"])]


if __name__ == "__main__":
    sys.exit(main())
