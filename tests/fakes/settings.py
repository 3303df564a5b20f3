"""Settings of a portal whose files lie beside its state folder; the fixture ``state`` makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from supercloud.config import Authn, CertificateScheme, Front, PasswordScheme, Settings
from supercloud.config_values import Listen


def settings(state: Path, *, asks_certificate: bool = False, **front: Any) -> Settings:
    folder = state.parent
    kind = "tls-cert" if asks_certificate else "tls"
    scheme = CertificateScheme(ca=str(folder / "ca.pem"), map=str(folder / "map.toml"))
    return Settings(
        state=state,
        run=folder / "run",
        front=Front(
            **{
                "listen": (Listen.parse(f"{kind}:127.0.0.1:443"),),
                "certificate": folder / "fullchain.pem",
                "private_key": folder / "key.pem",
                "account": "",
            }
            | front
        ),
        authn=Authn(
            schemes=("session", "certificate"),
            password=PasswordScheme(pam_service=""),
            certificate=scheme if asks_certificate else CertificateScheme(),
        ),
    )
