"""``supercloud login``, ``launch``, ``jobs`` and their like: what the portal's pages do, from a workstation."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from time import monotonic, sleep
from time import time as wall_clock
from typing import Final

import click

from supercloud.applications.form import size_text, time_text
from supercloud.entry import Entry, Failed, choose_entry, entry_file, parse_token, parse_url, write_entry
from supercloud.https import Https
from supercloud.workstation import Field, Job, Patience, Workstation, WrongFields, follow_log, read_log, until_ready

_INTERRUPTED: Final = 130  # a shell's exit status for what SIGINT ended
_MOST_TOKEN: Final = 1000  # characters that are read of what should be one
_NUMBERS: Final[dict[str, Callable[[int], str]]] = {"integer": str, "size": size_text, "time": time_text}


@click.command()
@click.argument("url")
@click.option(
    "--ca",
    type=click.Path(path_type=Path),
    envvar="SUPERCLOUD_CA",
    help="The site's own authority, a file in PEM format; that of make run: ~/.local/state/supercloud/tls/ca.pem",
)
def login(url: str, ca: Path | None) -> None:
    """Use the portal at URL from here, by a token for jobs.

    Make the token on the portal's page /tokens, or on a login node: supercloud token create --for jobs. It is asked
    for, or read from standard input where there is no terminal. To be logged in no more, revoke it.
    """
    with _telling():
        url = parse_url(url)
        bare = Entry(url, "", str(ca.absolute()) if ca is not None else "")
        Workstation(Https(bare).send, url).look()
        entry = Entry(url, parse_token(_read_token(url), url), bare.ca)
        workstation = Workstation(Https(entry).send, url)
        workstation.apps()
        opens = workstation.token().opens
        file = entry_file(os.environ)
        write_entry(file, entry)
        _tell(f"you are logged in at {url}; the token is for {_plain(', '.join(opens))}, and is kept in {file}")


@click.command()
@click.argument("app", required=False)
def apps(app: str | None) -> None:
    """List what can be started; or what APP asks."""
    with _telling():
        workstation = _here()
        if app is None:
            listed = workstation.apps()
            _show([(one.id, one.name, f"broken: {one.broken}" if one.broken else one.about) for one in listed])
            return
        asked = workstation.app(app)
        click.echo(_plain(f"{asked.name}. {asked.about}"))
        _show([(one.name, one.kind, _usual(one), _about(one)) for one in asked.fields])


@click.command()
@click.argument("app")
@click.argument("values", metavar="[FIELD=VALUE]...", nargs=-1)
@click.option("--wait", is_flag=True, help="Until it is ready; exit status 1 when it ends before.")
@click.option("--open", "opens", is_flag=True, help="Wait, and open it in the browser.")
def launch(app: str, values: Sequence[str], wait: bool, opens: bool) -> None:
    """Start APP; fields that are not given have their defaults. The job's id is printed.

    supercloud launch web command='python3 -m http.server {port}' --open
    """
    with _telling():
        workstation = _here()
        job_id = workstation.launch(app, _read_values(values))
        try:
            click.echo(job_id)
            if not wait and not opens:
                return
            job = until_ready(workstation, job_id, _patience(), _tell)
        except (Failed, KeyboardInterrupt):
            _tell(f"job {job_id} was started; see: supercloud jobs")
            raise
        if job.stage == "over":
            raise Failed(f"job {job_id} is over before it was ready")
        _open(workstation.opens(job_id), by_browser=opens)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As the portal's API tells them.")
def jobs(as_json: bool) -> None:
    """List your jobs, the newest first."""
    with _telling():
        workstation = _here()
        if as_json:
            click.echo(json.dumps(workstation.told_jobs(), indent=2))
            return
        found = workstation.jobs()
        if not found:
            _tell("you have no jobs")
            return
        now = wall_clock()
        _show([("JOB", "APPLICATION", "STAGE", "NODE", "SINCE", "ENDS"), *(_row(one, now) for one in found)])


@click.command("open")
@click.argument("job")
@click.option("--print", "only_prints", is_flag=True, help="Print the address, and start no browser.")
def open_job(job: str, only_prints: bool) -> None:
    """Open JOB in the browser; its page waits until it is ready."""
    with _telling():
        workstation = _here()
        found = workstation.job(job)
        if found.stage == "over":
            raise Failed(f"job {job} is over. {found.words}".rstrip())
        _open(workstation.opens(job), by_browser=not only_prints)


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Until the job is over.")
def logs(job: str, follow: bool) -> None:
    """Print what JOB has printed."""
    with _telling():
        workstation = _here()
        if follow:
            follow_log(workstation, job, _patience(), _write)
        else:
            read_log(workstation, job, _write)


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
def stop(job_ids: Sequence[str]) -> None:
    """End jobs. All are tried; exit status 1 when one of them could not be ended."""
    with _telling():
        _do_each(job_ids, _here().stop, "stopped")


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
def renew(job_ids: Sequence[str]) -> None:
    """Have jobs go on that would end soon, as nobody uses them."""
    with _telling():
        _do_each(job_ids, _here().renew, "renewed")


COMMANDS: Final = (login, apps, launch, jobs, open_job, logs, stop, renew)


def _do_each(job_ids: Sequence[str], do: Callable[[str], None], done: str) -> None:
    """All are tried; exit status 1 when it could not be done for one."""
    failed = False
    for job_id in job_ids:
        try:
            do(job_id)
        except Failed as error:
            failed = True
            _tell(f"job {job_id}: {error}")
        else:
            click.echo(f"{done} {job_id}")
    if failed:
        sys.exit(1)


def _here() -> Workstation:
    entry = choose_entry(entry_file(os.environ), os.environ)
    return Workstation(Https(entry).send, entry.url)


def _patience() -> Patience:
    return Patience(_tell, clock=monotonic, sleep=sleep)


@contextmanager
def _telling() -> Iterator[None]:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of another character set shows what it can
    try:
        yield
    except WrongFields as error:
        wrong = "".join(f"\n  {_plain(name)}: {_plain(words)}" for name, words in error.wrong.items())
        raise click.ClickException(f"{error}:{wrong}") from None
    except Failed as error:
        raise click.ClickException(_plain(str(error))) from None
    except (KeyboardInterrupt, click.Abort):
        click.echo(err=True)
        sys.exit(_INTERRUPTED)


def _read_token(url: str) -> str:
    if not _is_terminal():
        return sys.stdin.readline(_MOST_TOKEN).strip()
    click.echo(f"Make a token for jobs at {url}/tokens, and paste it here; it is not shown.", err=True)
    given: str = click.prompt("Token", hide_input=True, err=True)
    return given.strip()


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _read_values(words: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or name in values:
            raise Failed(f"{word!r}: write each field once, as FIELD=VALUE")
        values[name] = value
    return values


def _open(url: str, *, by_browser: bool) -> None:
    click.echo(url)
    if by_browser and not webbrowser.open(url):
        _tell("no browser could be started here: open this address yourself")


def _show(rows: Sequence[Sequence[str]]) -> None:
    """A table; the last column is as wide as it likes."""
    plain = [[_plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    for row in plain:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _tell(text: str) -> None:
    click.echo(_plain(text), err=True)


def _write(text: str) -> None:
    """What a job printed: lines and tabs stay, whatever else could steer a terminal does not."""
    kept = "".join(one for one in text if one in "\n\t" or one >= "\xa0" or " " <= one < "\x7f")
    click.echo(kept, nl=False)


def _plain(text: str) -> str:
    """A text on one line; names come from others, and could steer a terminal or turn the line around."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)


def _usual(one: Field) -> str:
    if one.required and not one.default:
        return "needed"
    return f"[{one.default}]" if one.default else ""


def _about(one: Field) -> str:
    """What it is, and what can be written."""
    told = f"{one.label}. {one.help}".rstrip(". ")
    if one.choices:
        return f"{told}; one of {', '.join(choice.value or '(nothing)' for choice in one.choices)}"
    shown = _NUMBERS.get(one.kind)
    if shown is None:
        return told
    bounds = (("at least", one.least), ("at most", one.most))
    limits = [f"{shown(number)} {words}" for words, number in bounds if number is not None]
    return "; ".join((told, *(limit for limit in limits if limit not in told)))


def _row(one: Job, now: float) -> Sequence[str]:
    return one.id, one.app or one.name, one.stage, _node(one), _since(one, now), _ends(one, now)


def _node(one: Job) -> str:
    return f"{one.node}:{one.port}" if one.node and one.port else ",".join(one.nodes)


def _since(one: Job, now: float) -> str:
    since = one.submitted if one.stage == "waiting" or one.starts is None else one.starts
    return "" if since is None else _span(now - since)


def _ends(one: Job, now: float) -> str:
    if one.idle is not None and one.stage != "over":
        return f"in {_span(one.idle.ends - now)}, as nobody uses it"
    if one.stage == "over":
        return f"{_span(now - one.ends)} ago. {one.words}" if one.ends is not None else one.words
    return "" if one.ends is None else f"in {_span(one.ends - now)}"


def _span(seconds: float) -> str:
    return time_text(max(0, round(seconds / 60)))
