"""Authorities, and certificates that they signed, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Authority", "Certificate"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, good for a day.

    Args:
        folder: for its files and those of what it signs; made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.certificate = folder / "authority.crt"
        self._key = folder / "authority.key"
        _openssl("req", "-x509", "-nodes", "-days", "1", *_new(self._key), "-subj",
                 f"/CN={folder.name}", "-out", str(self.certificate))  # fmt: skip

    def sign(self, name: str, *, host: bool = False) -> Certificate:
        """A certificate of a host, or of a role."""
        made = Certificate(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request, extra = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extra.write_text(f"subjectAltName=DNS:{name}\n" if host else "basicConstraints=CA:FALSE\n")
        _openssl("req", "-nodes", *_new(made.key), "-subj", f"/CN={name}", "-out", str(request))
        _openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey",
                 str(self._key), "-CAcreateserial", "-days", "1", "-extfile", str(extra), "-out",
                 str(made.certificate))  # fmt: skip
        made.key.chmod(0o600)
        return made


def _new(key: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", str(key)]


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
