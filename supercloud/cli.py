"""``supercloud``: the command line of users, who ask the portal, and of administrators, who read its state."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import time as wall_clock
from typing import Final, TypeVar

import click

from supercloud import config
from supercloud.accounts import read_account
from supercloud.authn.lock_store import FILE as LOCKS
from supercloud.authn.lock_store import MAX_REASON, LockRow, SqliteLockStore
from supercloud.authn.scope import ABOUT, READ, describe, shown_scopes, stored_scopes
from supercloud.authn.store import SqliteStore
from supercloud.authn.token_store import SqliteTokenStore, TokenRow
from supercloud.cli_acts import Leaves
from supercloud.cli_forward import forward
from supercloud.cli_jobs import COMMANDS
from supercloud.config import WrongSettings
from supercloud.config_values import Duration
from supercloud.desk.client import Desk, DeskGone
from supercloud.desk.token_wire import CreateToken, Listed, ListTokens, RevokeToken, TokenCreated, TokensListed
from supercloud.desk.why_wire import AskWhy, WhyTold
from supercloud.desk.wire import Done, Message, Refusal
from supercloud.identity import NoAccount
from supercloud.workers.become import become

_SOCKET: Final = "/run/supercloud/portal.sock"
_LEAVES: Final = "supercloud.leaves"  # in click's memory of a command: what leaves a line of it
_DESK: Final = "supercloud.desk"  # in click's memory of a command: the socket of the portal that is administered
A = TypeVar("A", bound=Message)


@click.group()
@click.version_option(package_name="supercloud-portal")
def main() -> None:
    """Commands for the SuperCloud portal. The portal itself runs as: twistd supercloud-portal"""


main.add_command(forward)
for command in COMMANDS:
    main.add_command(command)


@main.group()
@click.option("--socket", "path", help="The portal's own socket.  [default: that of this host's portal]")
@click.pass_context
def token(context: click.Context, path: str | None) -> None:
    """Your tokens: each stands for your password in one program."""
    context.obj = Desk(path or _socket())
    context.call_on_close(context.obj.close)


@token.command()
@click.option("--for", "scope", default=READ, show_default=True, help=f"{', '.join(ABOUT)} or forward:NAME; or A,B.")
@click.option("--expires", default="30d", show_default=True, help="As 12h or 30d.")
@click.option("--name", default="", help="A note, such as the program that is to have it.")
@click.pass_obj
def create(desk: Desk, scope: str, expires: str, name: str) -> None:
    """Make a token. It is printed now and never again; give it where a program asks for your password.

    It opens what it is for and nothing else. A drive needs dav; launch, jobs, logs and their like at a workstation need
    jobs. Who has a token for jobs, keys or dav can do by it all that you can.
    """
    try:
        life = float(Duration.parse(expires))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    made = _ask(desk, CreateToken(scope, life, name), TokenCreated)
    for scope in stored_scopes(made.scope):
        click.echo(f"it lets a program {describe(scope)} ({scope})", err=True)
    click.echo(f"token {made.id} for {made.scope}, ends {_when(made.ends)} UTC:", err=True)
    click.echo(made.text)


@token.command("list")
@click.pass_obj
def list_tokens(desk: Desk) -> None:
    """List your tokens."""
    _show(_ask(desk, ListTokens(), TokensListed).tokens, "you have no tokens")


@token.command()
@click.argument("id")
@click.pass_obj
def revoke(desk: Desk, id: str) -> None:
    """End the token ID, as listed by `list`; within 2 seconds nothing is served to whoever has it."""
    _ask(desk, RevokeToken(id), Done)
    click.echo("revoked")


@main.group()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings file of the portal.")
@click.option("--state", type=click.Path(path_type=Path), help="State folder; default: that of the embedded portal.")
@click.pass_context
def admin(context: click.Context, file: Path | None, state: Path | None) -> None:
    """For whoever may read the portal's state folder, and for root."""
    try:
        settings = None if file is None else config.read(file)
        context.obj = settings.state if settings is not None else state or _embedded_state()
        context.meta[_DESK] = (context.obj / "run" if settings is None else settings.run) / "portal.sock"
        audit = settings.front.audit if settings is not None and settings.front is not None else ""
        context.meta[_LEAVES] = Leaves.of_this_process(audit)
        _become_owner(context.obj)
    except (WrongSettings, NoAccount, OSError) as error:
        raise click.ClickException(str(error)) from None


@admin.command()
@click.argument("login", required=False)
@click.pass_obj
def sessions(folder: Path, login: str | None) -> None:
    """List the sessions of LOGIN, or of everybody."""
    with _opened(_sessions(folder)) as store:
        rows = store.all() if login is None else store.of_account(_uid(login))
    for row in rows:
        seen, ends = _when(row.last_seen), _when(row.ends)
        whose = f"{row.login}  " if login is None else ""
        click.echo(f"{whose}{row.id}  {row.scheme}  from {row.address}  last used {seen}  ends {ends} UTC")
    if not rows:
        click.echo("nobody is signed in" if login is None else f"{login} is not signed in")


@admin.command()
@click.argument("login")
@click.option("--session", help="Only this one, as listed by `sessions`.")
@click.pass_obj
def kick(folder: Path, login: str, session: str | None) -> None:
    """End the sessions of LOGIN; running portals notice within a second.

    Tokens are not sessions and stay good: see revoke-tokens. To keep somebody out: see lock.
    """
    with _opened(_sessions(folder)) as store:
        rows = store.of_account(_uid(login))
        if session is None:
            store.end_all(_uid(login), "ended by an administrator")
            ended = [row.id for row in rows]
        elif session in {row.id for row in rows}:
            store.end(session, "ended by an administrator")
            ended = [session]
        else:
            raise click.ClickException(f"{login} has no session {session!r}; see: supercloud admin sessions {login}")
    _leave("kicked", login, f"sessions: {', '.join(ended) or 'none'}")
    click.echo(f"ended {len(ended)}")


@admin.command()
@click.argument("login")
@click.option("--reason", default="", help="Told to whoever shows the account's password, certificate or token.")
@click.pass_obj
def lock(folder: Path, login: str, reason: str) -> None:
    """Keep LOGIN out of the portal until `unlock`; running portals notice within 2 seconds.

    Ends the account's sessions, and all that it has open through the portal. Tokens are not taken for as long as the
    lock is there. Logging in by ssh, and jobs, are not the portal's to lock.
    """
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise click.ClickException(f"a reason has at most {MAX_REASON} printable characters")
    uid = _uid(login)
    with _opened(_sessions(folder)) as store, _opened(SqliteLockStore(folder / LOCKS)) as locks:
        locks.lock(LockRow(uid, login, reason, wall_clock()))
        store.end_all(uid, "locked by an administrator")
    _leave("locked", login, reason)
    click.echo(f"{login} is locked")


@admin.command()
@click.argument("login")
@click.pass_obj
def unlock(folder: Path, login: str) -> None:
    """Let LOGIN in again; whoever was signed in signs in anew."""
    with _opened(_locks(folder)) as locks:
        # By the name of then: the account may be gone by now.
        found = [row.uid for row in locks.all() if row.login == login] or [_uid(login)]
        if True not in [locks.unlock(uid) for uid in found]:
            raise click.ClickException(f"{login} is not locked; see: supercloud admin locks")
    _leave("unlocked", login)
    click.echo(f"{login} is not locked any more")


@admin.command("locks")
@click.pass_obj
def list_locks(folder: Path) -> None:
    """List the accounts that are locked."""
    with _opened(_locks(folder)) as locks:
        rows = locks.all()
    for row in rows:
        click.echo(f"{row.login}  since {_when(row.since)} UTC" + (f"  {row.reason}" if row.reason else ""))
    if not rows:
        click.echo("nobody is locked")


@admin.command()
@click.argument("login")
@click.pass_obj
def tokens(folder: Path, login: str) -> None:
    """List the tokens of LOGIN."""
    with _opened(_tokens(folder)) as store:
        _show(store.of_account(_uid(login)), f"{login} has no tokens")


@admin.command()
@click.argument("login")
@click.pass_obj
def revoke_tokens(folder: Path, login: str) -> None:
    """End all tokens of LOGIN; running portals notice within 2 seconds."""
    with _opened(_tokens(folder)) as store:
        rows = store.of_account(_uid(login))
        count = store.revoke_all(_uid(login))
    _leave("tokens-revoked", login, f"tokens: {', '.join(row.id for row in rows) or 'none'}")
    click.echo(f"revoked {count}")


@admin.command()
@click.argument("login", metavar="USER")
@click.argument("url")
@click.pass_context
def why(context: click.Context, login: str, url: str) -> None:
    """Replay what the running portal would decide when USER opens URL: each stage, and its verdict.

    Nothing is sent to the application. Exit status 1 when it would be refused.
    """
    desk = Desk(str(context.meta[_DESK]))
    context.call_on_close(desk.close)
    told = _ask(desk, AskWhy(login, url), WhyTold)
    width = max(len(stage) for stage, _ in told.stages)
    for stage, words in told.stages:
        click.echo(f"{stage:{width}}  {words}")
    click.echo(f"refused: {told.refused}" if told.refused else "allowed")
    context.exit(1 if told.refused else 0)


def _leave(act: str, account: str, what: str = "") -> None:
    """Leave a line of what was done."""
    click.get_current_context().meta[_LEAVES](act, account, what)


def _become_owner(folder: Path) -> None:
    """Root has no business with files that another account can put something else in the place of."""
    owner = folder.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        become(read_account(owner))


S = TypeVar("S", SqliteStore, SqliteTokenStore, SqliteLockStore)


@contextmanager
def _opened(store: S) -> Iterator[S]:
    try:
        store.open()
    except (WrongSettings, OSError) as error:
        raise click.ClickException(str(error)) from None
    try:
        yield store
    finally:
        store.close()


def _sessions(folder: Path) -> SqliteStore:
    return SqliteStore(_existing(folder / "sessions.sqlite", "sessions"), now=wall_clock)


def _tokens(folder: Path) -> SqliteTokenStore:
    return SqliteTokenStore(_existing(folder / "tokens.sqlite", "tokens"))


def _locks(folder: Path) -> SqliteLockStore:
    return SqliteLockStore(_existing(folder / LOCKS, "locks"))


def _existing(file: Path, what: str) -> Path:
    try:
        if file.exists():
            return file
    except PermissionError:
        raise click.ClickException(f"{file.parent}: is for root and the portal's own account") from None
    raise click.ClickException(f"{file.parent}: holds no {what}; name the portal's settings by --config")


def _ask(desk: Desk, request: Message, answer: type[A]) -> A:
    try:
        return desk.ask(request, answer)
    except Refusal as refusal:
        raise click.ClickException(refusal.reason or f"the portal refuses: {refusal.code}") from None
    except DeskGone as gone:
        raise click.ClickException(f"no portal answers at {gone}; name it by --socket or --config") from None


def _show(rows: Sequence[TokenRow | Listed], none: str) -> None:
    for row in rows:
        used = _when(row.last_used) if row.last_used else "never"
        note = f"  {row.name}" if row.name else ""
        times = f"made {_when(row.created)}  used {used}  ends {_when(row.ends)} UTC"
        click.echo(f"{row.id}  {shown_scopes(row.scope)}  {times}{note}")
    if not rows:
        click.echo(none)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _uid(login: str) -> int:
    try:
        return read_account(login).uid
    except NoAccount as error:
        raise click.ClickException(str(error)) from None


def _embedded_state() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "supercloud"


def _socket() -> str:
    """That of the site's portal, or else of one's own."""
    own = _embedded_state() / "run" / "portal.sock"
    return str(own if own.exists() and not Path(_SOCKET).exists() else _SOCKET)
