"""The C++ tests that need a real API server: baton_library's KUBE_TESTS, which ctest knows by the label `kube`."""
import os
import re
import subprocess

from programs import ROOT


def test_the_programs_with_the_label_kube_pass(plane):
    done = subprocess.run(
        ["ctest", "--test-dir", ROOT / "build/dev", "-L", "kube", "--output-on-failure", "--no-tests=error", "--timeout", "240"],
        env={**os.environ, **plane.environment()}, capture_output=True, text=True)  # fmt: skip

    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "*SKIPPED*" not in done.stdout and "***Skipped" not in done.stdout
    assert re.search(r"100% tests passed", done.stdout)
