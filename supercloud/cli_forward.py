"""``supercloud forward``: names for one's own applications."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from supercloud import config
from supercloud.config import Settings, WrongSettings
from supercloud.entry import known_portal
from supercloud.forward_files import ForwardFiles, NotDone
from supercloud.forward_run import Plan, choose_port, run
from supercloud.origin_check import has_wildcards
from supercloud.routing.hosts import Hosts

_SITE: Final = Path("/etc/supercloud/portal.toml")


@dataclass(frozen=True, slots=True)
class Site:
    """Where the site's forwards are, and how they are addressed."""

    settings: Settings
    files: ForwardFiles

    def url(self, name: str) -> str:
        """Where a browser finds one's own forward."""
        front = self.settings.front
        if front is None:
            portal = known_portal(os.environ)
            return f"{portal}/fw/{name}/" if portal else f"/fw/{name}/ at the portal"
        port = front.public_port or front.listen[0].port
        hosts = Hosts(front.hostname, applications=front.applications, ports=(port,))
        own = hosts.own(name, None) if has_wildcards(front) else None
        return f"{own.url}/" if own is not None else f"{hosts.portal.url}/fw/{name}/"


@click.group()
@click.option("--config", "file", type=click.Path(path_type=Path), help=f"The site's settings.  [default: {_SITE}]")
@click.option("--directory", type=click.Path(path_type=Path), help="Of forwards.  [default: as the settings say]")
@click.pass_context
def forward(context: click.Context, file: Path | None, directory: Path | None) -> None:
    """Names under which the portal opens your applications. First come, first served."""
    try:
        settings = config.read(file or _SITE) if file is not None or os.access(_SITE, os.R_OK) else Settings()
    except WrongSettings as error:
        raise click.ClickException(str(error)) from None
    context.obj = Site(settings, ForwardFiles(directory or Path(settings.forwards.directory)))


@forward.command()
@click.argument("name")
@click.argument("url")
@click.pass_obj
def add(site: Site, name: str, url: str) -> None:
    """Have NAME lead to URL, as http://NODE:PORT/. A name that you have leads there from now on."""
    with _telling():
        site.files.add(name, url)
    click.echo(site.url(name))


@forward.command("list")
@click.pass_obj
def list_forwards(site: Site) -> None:
    """List your forwards, and what is wrong with them."""
    with _telling():
        kept = site.files.list()
    for one in kept:
        click.echo("  ".join(filter(None, (one.name, one.url, one.state))))
    if not kept:
        click.echo("you have no forwards")


@forward.command()
@click.argument("name")
@click.pass_obj
def remove(site: Site, name: str) -> None:
    """Give NAME up. Anybody may take it then."""
    with _telling():
        site.files.remove(name)


@forward.command()
@click.argument("name")
@click.pass_obj
def disable(site: Site, name: str) -> None:
    """Keep NAME, and let nobody in. `add` switches it on again."""
    with _telling():
        site.files.disable(name)


@forward.command()
@click.argument("name")
@click.argument("group")
@click.pass_obj
def share(site: Site, name: str, group: str) -> None:
    """Let the members of GROUP in to the application that NAME leads to."""
    with _telling():
        site.files.share(name, group)
    click.echo(site.url(name))


@forward.command()
@click.argument("name")
@click.pass_obj
def unshare(site: Site, name: str) -> None:
    """Let nobody but you in any more to what NAME leads to; what others have open there ends."""
    with _telling():
        site.files.unshare(name)


@forward.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--node", default="", help="Name of this host for the portal.  [default: as hostname -s says]")
@click.argument("name")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run_command(site: Site, node: str, name: str, command: Sequence[str]) -> None:
    """Run COMMAND with NAME leading to it for as long as it runs.

    {port} in COMMAND stands for its port: the one that SLURM reserved for this job step (--resv-ports=1), or one that
    is free. The address is printed as soon as it answers.

        supercloud forward run alice-tb -- tensorboard --host 0.0.0.0 --port {port} --logdir runs
    """
    with _telling():
        port = choose_port(os.environ)
        plan = Plan(name, command, node or os.uname().nodename.partition(".")[0], port, site.url(name))
        status = run(plan, site.files, lambda text: click.echo(text, err=True))
    sys.exit(status)


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except NotDone as error:
        raise click.ClickException(str(error)) from None
