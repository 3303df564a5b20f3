"""Looks at what the settings name before anything is bound: files, folders, accounts. All of it blocks."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from stat import S_ISDIR, S_ISVTX

from supercloud import acting
from supercloud.accounts import read_account
from supercloud.authn import notices
from supercloud.config import Front, Settings, WrongSettings
from supercloud.front.signin import Book
from supercloud.front.tls import TlsFiles, TlsMaterial
from supercloud.identity import NoAccount, Principal
from supercloud.monitor.shells import LISTED_IN
from supercloud.pem import BadMaterial
from supercloud.upstream.secure import read_creator
from supercloud.workers.become import failure_as

_TAKEN_AWAY = frozenset({0o020, 0o002, 0o022})  # modes of a folder that others write, without the sticky bit


def check(settings: Settings) -> None:
    """Look at everything.

    :raises WrongSettings: says what cannot be used, and why.
    """
    front = settings.front
    if front is None:
        return
    _look_at_files(settings, front)
    acting.check(settings)
    account = account_of(front)
    check_state(settings.state, account)
    _check_run(settings.run, account)
    if account is not None and (wrong := failure_as(account, lambda: _look_at_files(settings, front))):
        raise WrongSettings(f"{wrong}; {account} must be able to read it, for SIGHUP")
    if front.audit:
        _check_audit(Path(front.audit), account)


def lacks(settings: Settings) -> list[str]:
    """What the portal runs without, but not all of it: lines for whoever checks the settings."""
    found = []
    directory = settings.forwards.directory
    if directory and not Path(directory).is_dir():
        found += [f"forwards: there is no {directory}; make it with: install -d -m 1777 {directory}"]
    elif directory and Path(directory).stat().st_mode & (0o022 | S_ISVTX) in _TAKEN_AWAY:
        found += [f"forwards: in {directory} people can take each other's names away; chmod +t {directory}"]
    for folder in settings.dav.roots.values():
        if folder != "~" and not Path(folder).is_dir():
            found += [f"files: there is no {folder}"]
    if settings.authn.shells != "any" and not Path(LISTED_IN).is_file():
        found += [f"accounts: there is no {LISTED_IN}, so those with /bin/sh or /bin/csh are let in, and no others"]
    if settings.scheduler.kind == "slurm" and shutil.which("sbatch") is None:
        found += ['jobs: there is no sbatch in PATH; install the programs of SLURM, or set scheduler.kind = "local"']
    return found


def account_of(front: Front) -> Principal | None:
    """Whom the front becomes; None when it stays who it is.

    :raises WrongSettings: there is no such account.
    """
    if os.geteuid() != 0 or not front.account:
        return None
    try:
        return read_account(front.account)
    except NoAccount as error:
        raise WrongSettings(f"front.account: {error}; make a system account, or name another") from None


def check_state(state: Path, account: Principal | None) -> None:
    """The state folder must be the front's own.

    :raises WrongSettings: says how to make it so.
    """
    uid = os.geteuid() if account is None else account.uid
    login = account.login if account is not None else str(uid)
    remedy = f"make it with: install -d -m 700 -o {login} {state}"
    try:
        found = state.stat()
    except OSError as error:
        raise WrongSettings(f"state: {state}: {error.strerror}; {remedy}") from None
    if not S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise WrongSettings(f"state: {state}: must be a folder of uid {uid} with mode 0700; {remedy}")


def _check_run(run: Path, account: Principal | None) -> None:
    """The folder of sockets is made where it is not; one that is there must be the front's own."""
    uid = os.geteuid() if account is None else account.uid
    try:
        found = run.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise WrongSettings(f"run: {run}: {error.strerror}") from None
    if not S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o022:
        login = account.login if account is not None else str(uid)
        raise WrongSettings(
            f"run: {run}: must be a folder of uid {uid} that nobody else can write; remove it, or make it with: "
            f"install -d -m 755 -o {login} {run}"
        )


def _check_audit(file: Path, account: Principal | None) -> None:
    """The file of audit lines must be the front's to write, or to make."""

    def look() -> None:
        at = file if file.exists() else file.parent
        if not at.exists() or file.is_dir() or not os.access(at, os.W_OK):
            raise WrongSettings(f"front.audit: {file}: cannot be written")

    if account is None:
        look()
    elif wrong := failure_as(account, look):
        raise WrongSettings(f"{wrong}; {account} must be able to write it, or to make it in its folder")


def check_alone(run: Path, key: str) -> None:
    """No other portal may use the folder of sockets: its workers would find this one instead.

    :param key: what names the folder.
    :raises WrongSettings: one answers there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as asking:
        try:
            asking.connect(str(run / "portal.sock"))
        except BlockingIOError:
            pass  # it listens, and has much to do
        except OSError:
            return
    raise WrongSettings(
        f"{run}: another portal runs with this folder, or ends just now; stop it, or name another by {key}"
    )


def tls_files(settings: Settings, front: Front, *, asks_certificate: bool) -> TlsFiles:
    """What a kind of listener is made with."""
    scheme = settings.authn.certificate
    return TlsFiles(
        certificate=front.certificate,
        private_key=front.private_key,
        client_ca=Path(scheme.ca) if asks_certificate and scheme.ca else None,
        crl=Path(scheme.crl) if asks_certificate and scheme.crl else None,
    )


def _look_at_files(settings: Settings, front: Front) -> None:
    for asks in sorted({one.asks_certificate for one in front.listen}):
        try:
            TlsMaterial(tls_files(settings, front, asks_certificate=asks))
        except BadMaterial as error:
            raise WrongSettings(f"front.certificate, front.private_key or authn.certificate: {error}") from None
    if settings.forwards.ca or not settings.forwards.verify:
        read_creator(settings.forwards)
    if front.notices:
        try:
            notices.read(Path(front.notices))
        except notices.WrongNotices as error:
            raise WrongSettings(f"front.notices: {error}") from None
    if settings.authn.certificate.map:
        Book.read(settings.authn.certificate)
