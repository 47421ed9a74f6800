import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from gateway import EchoPod, Envoy, Picker  # noqa: E402


@pytest.fixture
def pod():
    with EchoPod() as running:
        yield running


@pytest.fixture
def picker(pod):
    with Picker([pod.endpoint("a")]) as running:
        yield running


@pytest.fixture
def envoy(picker, pod):
    with Envoy(picker, [pod.port]) as running:
        yield running
