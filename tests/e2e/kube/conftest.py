import os
import subprocess

import pytest
from control_plane import ControlPlane
from controller import Controller
from programs import ROOT, Stack


@pytest.fixture(scope="session")
def plane(tmp_path_factory):
    """One control plane for all tests that do it no harm; each test has a namespace of its own (`namespace`)."""
    with ControlPlane(tmp_path_factory.mktemp("plane")) as plane:
        plane.install("gateway", "inference")
        yield plane


@pytest.fixture(scope="session")
def stack(plane, tmp_path_factory):
    """The node agent and a gateway on the shared control plane; pods may run any program."""
    with Stack(plane, tmp_path_factory.mktemp("stack"), "--allow-exec") as stack:
        yield stack


@pytest.fixture
def namespace(plane, request):
    name = "t-" + request.node.name.replace("_", "-").removeprefix("test-").split("[")[0][:50].rstrip("-")
    plane.kubectl("create", "namespace", name)
    plane.wait_for("serviceaccount", "default", name)
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def controlled(tmp_path_factory):
    """A control plane of its own: the webhooks are the controller's."""
    with ControlPlane(tmp_path_factory.mktemp("controlled")) as plane:
        controller = Controller(plane)
        controller.install()
        controller.start()
        yield plane, controller
        controller.stop()


@pytest.fixture
def place(controlled, request):
    plane, _ = controlled
    name = "c-" + request.node.name.replace("_", "-").removeprefix("test-").split("[")[0][:40].rstrip("-") + str(abs(hash(request.node.name)) % 1000)
    plane.kubectl("create", "namespace", name)
    plane.wait_for("serviceaccount", "default", name)
    yield name
    plane.kubectl("delete", "llmisvc,llminferenceserviceconfig", "--all", "-n", name, "--wait=false")
    plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test tells the ends of the logs of all that its fixtures started."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name, value in item.funcargs.items():
            for one in value if isinstance(value, tuple) else (value,):
                if hasattr(one, "tails"):
                    report.sections.append((name, one.tails()))


def pytest_sessionstart():
    """Pods have addresses of 10.244.0.0/16: without the namespace that has them, every test would fail for the same reason."""
    found = subprocess.run(["ip", "-o", "route", "show", "table", "local", "10.244.0.0/16"], capture_output=True, text=True).stdout
    if not found.strip():
        pytest.exit(f"run these tests with {os.path.relpath(ROOT / 'tools' / 'e2e-kube')}: they need a network namespace of their own", 2)
