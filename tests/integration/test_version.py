"""What is running says so: on the command line, in metrics, and as the Helm chart names it."""
import re
import subprocess

from processes import engine
from stack import BATON, ROOT, get


def test_the_version_names_the_chart_s_and_the_commit_it_was_built_from():
    told = subprocess.run([BATON, "--version"], capture_output=True, text=True, check=True).stdout
    version, commit = re.fullmatch(r"baton (\S+) \(commit (\S+)\)\n", told).groups()

    chart = (ROOT / "deploy/helm/baton/Chart.yaml").read_text()
    assert f"\nappVersion: {version}\n" in chart
    assert commit == "unknown" or re.fullmatch(r"[0-9a-f]{12,}(-dirty)?", commit)

    with engine() as running:
        page = get(f"{running.base}/metrics")
        assert f'baton_build_info{{version="{version}",commit="{commit}"}} 1' in page
