"""Helm, built once from its Go module and kept in the user's cache folder: `helm()` is the path of the program.

`python helm_program.py` builds it if need be (two to five minutes) and prints the path.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from binaries import VERSIONS, BuildError, cache_root, find_go, go_environment, say

LIMIT_SECONDS = 30 * 60


def helm() -> Path:
    version = VERSIONS["helm"]
    place = cache_root() / f"helm-{version}"
    program = place / "helm"
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            say(f"building helm {version}, 2 to 5 min, once a machine")
            command = [find_go(), "install", "-trimpath", "-ldflags", "-s -w", f"helm.sh/helm/v3/cmd/helm@{version}"]
            # Go writes the program in one step at the end.
            built = subprocess.run(
                command, cwd="/", env={**go_environment(), "GOBIN": str(place)}, capture_output=True, text=True, timeout=LIMIT_SECONDS
            )
            if built.returncode != 0:
                raise BuildError(f"{' '.join(command)} failed:\n{built.stderr[-4000:]}")
    return program


if __name__ == "__main__":
    try:
        print(helm())
    except BuildError as error:
        sys.exit(f"helm: {error}")
