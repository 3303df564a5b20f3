"""``supercloud``: the administrator's command line."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from time import time as wall_clock

import click

from supercloud import config
from supercloud.accounts import read_account
from supercloud.authn.store import SqliteStore
from supercloud.config import WrongSettings
from supercloud.identity import NoAccount


@click.group()
@click.version_option(package_name="supercloud-portal")
def main() -> None:
    """Commands for the SuperCloud portal. The portal itself runs as: twistd supercloud-portal"""


@main.group()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings file of the portal.")
@click.option("--state", type=click.Path(path_type=Path), help="State folder; default: that of the embedded portal.")
@click.pass_context
def admin(context: click.Context, file: Path | None, state: Path | None) -> None:
    """For whoever may read the portal's state folder."""
    try:
        folder = config.read(file).state if file is not None else state or _embedded_state()
        store = SqliteStore(folder / "sessions.sqlite", now=wall_clock)
        if not (folder / "sessions.sqlite").exists():
            raise WrongSettings(f"{folder}: holds no sessions; name the portal's settings by --config")
        store.open()
    except (WrongSettings, OSError) as error:
        raise click.ClickException(str(error)) from None
    context.call_on_close(store.close)
    context.obj = store


@admin.command()
@click.argument("login")
@click.pass_obj
def sessions(store: SqliteStore, login: str) -> None:
    """List the sessions of LOGIN."""
    rows = store.of_account(_uid(login))
    for row in rows:
        seen, ends = (datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M") for t in (row.last_seen, row.ends))
        click.echo(f"{row.id}  {row.scheme}  from {row.address}  last used {seen}  ends {ends} UTC")
    if not rows:
        click.echo(f"{login} is not signed in")


@admin.command()
@click.argument("login")
@click.option("--session", help="Only this one, as listed by `sessions`.")
@click.pass_obj
def kick(store: SqliteStore, login: str, session: str | None) -> None:
    """End the sessions of LOGIN; running portals notice within a second."""
    rows = store.of_account(_uid(login))
    if session is None:
        store.end_all(_uid(login), "ended by an administrator")
    elif session in {row.id for row in rows}:
        store.end(session, "ended by an administrator")
    else:
        raise click.ClickException(f"{login} has no session {session!r}; see: supercloud admin sessions {login}")
    click.echo(f"ended {len(rows) if session is None else 1}")


def _uid(login: str) -> int:
    try:
        return read_account(login).uid
    except NoAccount as error:
        raise click.ClickException(str(error)) from None


def _embedded_state() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "supercloud"
