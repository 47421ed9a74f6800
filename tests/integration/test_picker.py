"""`baton epp` at its start: settings that would leave something open are refused, with a word on what to do."""
import subprocess

import pytest

from stack import BATON

CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{name: file, type: file-discovery, parameters: {path: %s}}, {type: queue-scorer}]
dataLayer: {discovery: {pluginRef: file}}
"""


@pytest.fixture
def keys(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=m",
                    "-keyout", tmp_path / "tls.key", "-out", tmp_path / "tls.crt"], check=True, capture_output=True)  # fmt: skip
    (tmp_path / "endpoints.yaml").write_text("endpoints: []\n")
    (tmp_path / "junk").write_text("no certificate\n")
    return tmp_path


def start(keys, *flags):
    done = subprocess.run([BATON, "epp", "--pool-name=p", f"--config-text={CONFIG % (keys / 'endpoints.yaml')}", *flags],
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    return done.returncode, done.stderr


def test_metrics_over_tls_that_ask_nobody_who_they_are_are_refused(keys):  # epp:C013
    code, said = start(keys, f"--metrics-cert-dir={keys}")
    assert code == 2 and "--metrics-client-ca-file" in said
    code, said = start(keys, f"--metrics-cert-dir={keys}", f"--metrics-client-ca-file={keys}/missing")
    assert code != 0 and "missing" in said
    code, said = start(keys, f"--metrics-cert-dir={keys}", f"--metrics-client-ca-file={keys}/junk")
    assert code != 0 and "junk" in said
    code, said = start(keys, f"--metrics-cert-dir={keys}/nowhere", f"--metrics-client-ca-file={keys}/tls.crt")
    assert code != 0 and "nowhere" in said
    code, said = start(keys, f"--metrics-client-ca-file={keys}/tls.crt")
    assert code == 2 and "--metrics-cert-dir" in said


EXPERIMENTAL = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: session-affinity-scorer}]
"""


@pytest.mark.parametrize("allowed", [False, True])
def test_an_experimental_plugin_needs_its_flag(allowed):  # epp:C009
    done = subprocess.run([BATON, "epp", "--pool-name=p", f"--config-text={EXPERIMENTAL}", "--print-effective-config",
                           *(["--allow-experimental-plugins"] if allowed else [])],
                          capture_output=True, text=True, timeout=60)
    if allowed:
        assert done.returncode == 0, done.stderr
        assert '/plugins/0/parameters/strategy: "encoded_endpoint_header"  # default' in done.stdout
    else:
        assert done.returncode != 0
        assert "/plugins/0/type: session-affinity-scorer is experimental" in done.stderr
        assert "--allow-experimental-plugins" in done.stderr
