"""An authority and its certificates, made with openssl(1); and clients that trust them."""

import ssl
import subprocess
from pathlib import Path


def openssl(*arguments, stdin=b""):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.key, self.certificate = self.folder / "ca.key", self.folder / "ca.pem"
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-days", 30, "-subj", "/CN=test authority", "-out", self.certificate)

    def sign(self, name, *dns_names, start="20200101000000Z", end="21000101000000Z", rsa=False):
        """Writes `name`.pem and `name`.key, whole at once as a renewal tool does; their paths."""
        key, request, certificate = (self.folder / f"{name}.{kind}" for kind in ("key.new", "csr", "pem.new"))
        kind = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if rsa else ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("genpkey", *kind, "-out", key)
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        names = ",".join([*(f"DNS:{dns}" for dns in dns_names), "IP:127.0.0.1"])
        config = self.folder / "ca.cnf"
        config.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.folder}/index\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
            f"new_certs_dir={self.folder}\nunique_subject=no\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName={names}\n"
        )
        (self.folder / "index").touch()
        openssl(
            "ca", "-batch", "-notext", "-config", config, "-cert", self.certificate, "-keyfile", self.key,
            "-startdate", start, "-enddate", end, "-in", request, "-out", certificate,
        )  # fmt: skip
        final = certificate.with_suffix(""), key.with_suffix("")
        key.rename(final[1])
        certificate.rename(final[0])
        return final

    def context(self, version=None):
        """A client's settings."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if version:
            context.minimum_version = context.maximum_version = version
        return context


def serial(address, name="proxy.example"):
    """The serial number of the certificate that is shown to who asks for `name`."""
    shown = openssl("s_client", "-connect", "{}:{}".format(*address), "-servername", name)
    return openssl("x509", "-noout", "-serial", stdin=shown).decode().strip()


def serial_of(certificate):
    return openssl("x509", "-noout", "-serial", "-in", certificate).decode().strip()
