"""Who may talk to the control plane of a test: a certificate authority, certificates, tokens and kubeconfigs."""

import json
import subprocess
import tempfile
import time
from pathlib import Path

ADMIN_TOKEN = "token-of-admin"
CONTROLLER_MANAGER_TOKEN = "token-of-controller-manager"
NOBODY_TOKEN = "token-of-nobody"
# token, user, uid, groups
TOKENS = [
    (ADMIN_TOKEN, "admin", "admin", "system:masters"),
    (CONTROLLER_MANAGER_TOKEN, "system:kube-controller-manager", "controller-manager", ""),
    (NOBODY_TOKEN, "nobody", "nobody", ""),
]
SERVER_NAMES = (
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:10.244.0.1"
)
DAYS = "3650"


def _openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {' '.join(map(str, words))}\n{done.stderr}"


class Identities:
    """Keys and certificates in one folder; every method is the place of a file, made when it is not there."""

    def __init__(self, folder: Path, server: str):
        self.folder, self.server = folder, server
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "ca.crt"
        if not self.ca.exists():
            self._make_authority()
        lines = [f'{token},{user},{uid},"{groups}"' for token, user, uid, groups in TOKENS]
        (folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        self.certificate("kube-apiserver", "/CN=kube-apiserver", SERVER_NAMES, "serverAuth")

    def _make_authority(self):
        key = self.folder / "ca.key"
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        _openssl("req", "-x509", "-new", "-key", key, "-sha256", "-days", DAYS, "-subj", "/CN=test authority", "-out", self.ca,
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
        _openssl("genrsa", "-out", self.folder / "sa.key", "2048")
        _openssl("rsa", "-in", self.folder / "sa.key", "-pubout", "-out", self.folder / "sa.pub")

    def certificate(self, name: str, subject: str, names: str | None, usage: str) -> tuple[Path, Path]:
        """(certificate, key) signed by the test's authority."""
        key, request, signed, rules = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt", "rules"))
        if not signed.exists():
            rules.write_text((f"subjectAltName={names}\n" if names else "") + f"extendedKeyUsage={usage}\nkeyUsage=digitalSignature\n")
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
            _openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
            _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial", "-days", DAYS,
                     "-sha256", "-extfile", rules, "-out", signed)  # fmt: skip
        return signed, key

    def kubeconfig(self, name: str, user: dict, namespace: str = "default") -> Path:
        file = self.folder / f"{name}.kubeconfig"
        cluster = {"server": self.server, "certificate-authority": str(self.ca)}
        file.write_text(json.dumps({  # JSON is YAML
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}],
            "current-context": "test",
        }, indent=1))  # fmt: skip
        file.chmod(0o600)
        return file

    def token_user(self, name: str, token: str) -> Path:
        return self.kubeconfig(name, {"token": token})

    def certificate_user(self, name: str, *groups: str) -> Path:
        """Any user, at any time: the certificate's common name and organisations."""
        certificate, key = self.certificate(f"user-{name}", f"/CN={name}" + "".join(f"/O={group}" for group in groups), None, "clientAuth")
        return self.kubeconfig(f"{name}-certificate", {"client-certificate": str(certificate), "client-key": str(key)})

    def ending(self, authority: bytes, authority_key: bytes, names: str) -> tuple[bytes, bytes]:
        """(certificate, key) by another authority, as PEM: nine tenths of its life are over."""
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            (at / "ca.crt").write_bytes(authority)
            (at / "ca.key").write_bytes(authority_key)
            (at / "index").touch()
            (at / "rules").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
            (at / "settings").write_text(f"[ca]\ndefault_ca=it\n[it]\ndatabase={at}/index\nnew_certs_dir={at}\nrand_serial=yes\n"
                                         "default_md=sha256\npolicy=policy\n[policy]\ncommonName=supplied\n")  # fmt: skip
            when = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400)) for days in (-81, 9)]
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at / "key")
            _openssl("req", "-new", "-key", at / "key", "-subj", "/CN=ending", "-out", at / "csr")
            _openssl("ca", "-batch", "-notext", "-config", at / "settings", "-cert", at / "ca.crt", "-keyfile", at / "ca.key", "-in", at / "csr",
                     "-out", at / "crt", "-startdate", when[0], "-enddate", when[1], "-extfile", at / "rules")  # fmt: skip
            return (at / "crt").read_bytes(), (at / "key").read_bytes()
