import os
import subprocess

import pytest
from control_plane import ControlPlane
from programs import ROOT, Stack


@pytest.fixture(scope="session")
def plane(tmp_path_factory):
    """One control plane for all tests that do it no harm; each test has a namespace of its own (`namespace`)."""
    with ControlPlane(tmp_path_factory.mktemp("plane")) as plane:
        plane.install("gateway", "inference")
        yield plane


@pytest.fixture
def own_plane(tmp_path):
    """A control plane to break."""
    with ControlPlane(tmp_path / "plane") as plane:
        yield plane


@pytest.fixture(scope="session")
def stack(plane, tmp_path_factory):
    """The node agent and a gateway on the shared control plane; pods may run any program."""
    with Stack(plane, tmp_path_factory.mktemp("stack"), "--allow-exec") as stack:
        yield stack


@pytest.fixture
def own_stack(own_plane, tmp_path):
    own_plane.install("gateway", "inference")
    with Stack(own_plane, tmp_path / "stack") as stack:
        yield stack


@pytest.fixture
def namespace(plane, request):
    name = "t-" + request.node.name.replace("_", "-").removeprefix("test-").split("[")[0][:50].rstrip("-")
    plane.kubectl("create", "namespace", name)
    plane.wait_for("serviceaccount", "default", name)
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test tells the ends of the control plane's logs."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name in ("plane", "own_plane", "stack", "own_stack", "serving"):
            if name in item.funcargs:
                report.sections.append((name, item.funcargs[name].tails()))


def pytest_sessionstart():
    """Pods have addresses of 10.244.0.0/16: without the namespace that has them, every test would fail for the same reason."""
    found = subprocess.run(["ip", "-o", "route", "show", "table", "local", "10.244.0.0/16"], capture_output=True, text=True).stdout
    if not found.strip():
        pytest.exit(f"run these tests with {os.path.relpath(ROOT / 'tools' / 'e2e-kube')}: they need a network namespace of their own", 2)
