"""The commands of a workstation, with a portal in memory."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from supercloud import cli_jobs
from supercloud.cli import main
from supercloud.entry import Entry, read_entry, write_entry
from supercloud.https import Answer, NoAnswer
from tests.fakes.workstation import MARKED, TOKEN, URL, FakePortal

_EVIL = "\x1b]0;owned\x07\x9b2J\u202etxt.\nSTAGE"


class Terminal:
    """:ivar opened: addresses that the browser was started with.
    :ivar file: where the entry is kept.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.portal = FakePortal(folder)
        self.scheduler = self.portal.workspace.scheduler
        self.file = folder / "config/supercloud/portal.toml"
        self.opened: list[str] = []
        self.has_browser = True
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        for name in ("PORTAL", "TOKEN", "CA"):
            monkeypatch.delenv(f"SUPERCLOUD_{name}", raising=False)
        monkeypatch.setattr(cli_jobs, "Https", self.portal.reached_by)
        monkeypatch.setattr(cli_jobs, "sleep", self.portal.sleep)
        monkeypatch.setattr(cli_jobs, "monotonic", self.portal.clock)
        monkeypatch.setattr(cli_jobs, "wall_clock", lambda: 4000.0)
        monkeypatch.setattr(cli_jobs.webbrowser, "open", self._open)

    def _open(self, url: str) -> bool:
        self.opened.append(url)
        return self.has_browser

    def __call__(self, *words: str, typed: str = "") -> Result:
        return CliRunner().invoke(main, words, input=typed)

    def log_in(self) -> Terminal:
        write_entry(self.file, Entry(URL, TOKEN))
        return self


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal where nobody has logged in."""
    return Terminal(tmp_path, monkeypatch)


@pytest.fixture
def run(out: Terminal) -> Terminal:
    """A terminal that knows a portal."""
    return out.log_in()


def test_login_keeps_a_token_that_the_portal_takes(out: Terminal, tmp_path: Path) -> None:
    done = out("login", "Portal.test", "--ca", str(tmp_path / "ca.pem"), typed=f"{TOKEN}\n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert read_entry(out.file) == Entry(URL, TOKEN, str(tmp_path / "ca.pem"))
    assert stat.S_IMODE(out.file.stat().st_mode) == 0o600
    assert out.portal.asked == ["GET /healthz", "GET /api/apps", "GET /api/token"]
    assert "the token is for jobs, and is kept in" in done.stderr
    assert TOKEN not in done.output


def test_the_token_is_not_shown_before_it_is_known_that_this_is_a_portal(out: Terminal) -> None:
    out.portal.instead = [Answer(200, "text/html", b"<h1>")]
    done = out("login", URL, typed=f"{TOKEN}\n")
    assert (done.exit_code, "is the address right?" in done.output) == (1, True)
    assert [one.token for one in out.portal.entries] == [""]
    assert not out.file.exists()


def test_a_token_that_is_not_taken_is_not_kept(out: Terminal) -> None:
    out.portal.instead = [Answer(200, "text/plain", b"ok\n"), Answer(401, "text/plain", b"")]
    done = out("login", URL, typed=f"{TOKEN}\n")
    assert done.exit_code == 1
    assert "Make a new one for jobs at https://portal.test/tokens, then: supercloud login" in done.output
    assert not out.file.exists()


def test_the_token_is_no_argument(out: Terminal) -> None:
    assert out("login", URL, TOKEN).exit_code == 2
    assert out.portal.asked == []


def test_what_is_no_token_never_leaves(out: Terminal) -> None:
    done = out("login", URL, typed="my password\n")
    assert (done.exit_code, "my password" in done.output) == (1, False)
    assert out.portal.asked == ["GET /healthz"]


def test_at_a_terminal_the_token_is_asked_for_and_hidden(out: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def prompt(text: str, *, hide_input: bool, err: bool) -> str:
        asked.append((text, hide_input))
        return f" {TOKEN} "

    monkeypatch.setattr(cli_jobs, "_is_terminal", lambda: True)
    monkeypatch.setattr(cli_jobs.click, "prompt", prompt)
    done = out("login", URL)
    assert (done.exit_code, asked) == (0, [("Token", True)])
    assert "Make a token for jobs at https://portal.test/tokens" in done.stderr


def test_without_a_login_it_is_said_how(out: Terminal) -> None:
    for words in (["apps"], ["jobs"], ["launch", "web"], ["open", "7"], ["logs", "7"], ["stop", "7"], ["renew", "7"]):
        done = out(*words)
        assert (done.exit_code, "supercloud login https://PORTAL" in done.output) == (1, True)
    assert out.portal.asked == []


def test_a_file_that_others_may_read_is_not_used(run: Terminal) -> None:
    run.file.chmod(0o644)
    done = run("jobs")
    assert (done.exit_code, "others have rights to it" in done.output) == (1, True)
    assert run.portal.asked == []


def test_the_environment_says_where(out: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PORTAL", URL), ("TOKEN", TOKEN), ("CA", "/ca")):
        monkeypatch.setenv(f"SUPERCLOUD_{name}", value)
    assert out("jobs").exit_code == 0
    assert out.portal.entries == [Entry(URL, TOKEN, "/ca")]


def test_applications_are_listed(run: Terminal) -> None:
    (run.portal.workspace.site / "bad").mkdir(parents=True)
    (run.portal.workspace.site / "bad" / "app.toml").write_text("name = 5")
    shown = run("apps").output
    assert "web          Web application   Any program that listens at a port" in shown
    assert "bad          bad               broken: " in shown


def test_what_an_application_asks_is_shown_with_what_can_be_written(run: Terminal) -> None:
    lines = run("apps", "web").output.splitlines()
    assert lines[0].startswith("Web application. Any program")
    shown = {line.split()[0]: line for line in lines[1:]}
    assert "one of normal, gpu" in shown["partition"]
    assert "needed" in shown["command"] and "{port} becomes the port" in shown["command"]
    assert "[2h]" in shown["minutes"] and "1m at least" in shown["minutes"]
    assert "at most" not in shown["command"]


def test_a_limit_that_its_help_tells_is_told_once(run: Terminal) -> None:
    folder = run.portal.workspace.site / "short"
    folder.mkdir(parents=True)
    (folder / "app.toml").write_text('name = "Short"\n[resources]\nminutes = { most = 480 }\n')
    (folder / "script.sh.j2").write_text("")
    assert run("apps", "short").output.count("8h at most") == 1


def test_launch_prints_the_jobs_id_alone(run: Terminal) -> None:
    done = run("launch", "web", "command=python3 -m http.server {port} --bind=::", "cpus=2")
    assert (done.exit_code, done.stdout) == (0, "41\n")


def test_wrong_fields_come_with_what_would_be_right(run: Terminal) -> None:
    done = run("launch", "web", "cpus=99")
    assert done.exit_code == 1
    assert done.output == (
        "Error: some of this has to be changed:\n  cpus: ask for 16 at most\n  command: this is needed\n"
    )
    assert "did you mean command?" in run("launch", "web", "comand=x").output


@pytest.mark.parametrize("words", [["command"], ["=x"], ["a=1", "a=2"]])
def test_a_field_is_written_once_with_its_value(run: Terminal, words: list[str]) -> None:
    done = run("launch", "web", *words)
    assert (done.exit_code, "write each field once, as FIELD=VALUE" in done.output) == (1, True)
    assert run.portal.asked == []


def ready(run: Terminal) -> Callable[[], None]:
    def now() -> None:
        run.scheduler.has("41", comment=run.scheduler.known["41"].comment)
        run.portal.workspace.announce("41")

    return now


def test_wait_tells_changes_until_it_is_ready_and_starts_no_browser(run: Terminal) -> None:
    run.portal.on_sleep = [lambda: None, ready(run)]
    done = run("launch", "web", "command=x", "--wait")
    assert (done.exit_code, done.stdout) == (0, "41\nhttps://portal.test/open/41\n")
    assert done.stderr == "waiting: It waits for its turn.\nready\n"
    assert run.opened == []


def test_open_waits_too_and_starts_the_browser(run: Terminal) -> None:
    run.portal.on_sleep = [ready(run)]
    assert run("launch", "web", "command=x", "--open").exit_code == 0
    assert run.opened == ["https://portal.test/open/41"]


def test_a_job_that_ends_before_it_is_ready_is_status_1(run: Terminal) -> None:
    run.portal.on_sleep = [lambda: run.scheduler.has("41", state="failed", reason="NonZeroExitCode")]
    done = run("launch", "web", "command=x", "--open")
    assert (done.exit_code, done.stdout) == (1, "41\n")
    assert "over: It failed (NonZeroExitCode)." in done.stderr
    assert run.opened == []


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_ends_a_wait_and_not_the_job(run: Terminal) -> None:
    run.portal.on_sleep = [interrupt]
    done = run("launch", "web", "command=x", "--wait")
    assert done.exit_code == 130
    assert "job 41 was started; see: supercloud jobs" in done.stderr
    assert run.scheduler.cancelled == []


def test_ctrl_c_ends_a_log(run: Terminal) -> None:
    run.scheduler.has("7", comment=MARKED)
    run.portal.on_sleep = [interrupt]
    assert run("logs", "7", "--follow").exit_code == 130


def test_jobs_are_a_table(run: Terminal) -> None:
    run.scheduler.has("7", comment=MARKED, starts=400.0, ends=7600.0)
    run.portal.workspace.announce("7")
    run.scheduler.has("6", name="mine", state="pending", nodes=(), submitted=3940.0, starts=None)
    run.scheduler.has("5", name="old", state="failed", reason="NonZeroExitCode", nodes=("node1", "node2"),
                      starts=100.0, ends=3700.0)  # fmt: skip
    assert run("jobs").output.splitlines() == [
        "JOB  APPLICATION  STAGE    NODE         SINCE  ENDS",
        "7    web          ready    node1:12001  1h     in 1h",
        "6    mine         waiting               1m",
        "5    old          over     node1,node2  1h 5m  5m ago. It failed (NonZeroExitCode).",
    ]


def test_jobs_for_programs_are_as_the_api_tells_them(run: Terminal) -> None:
    run.scheduler.has("7", name=_EVIL, ends=7600.0)
    shown = run("jobs", "--json").output
    assert [(one["id"], one["name"], one["ends"]) for one in json.loads(shown)] == [("7", _EVIL, 7600.0)]
    assert shown.isascii() and "\x1b" not in shown
    run.scheduler.known.clear()
    run.portal.workspace.now += 10
    assert json.loads(run("jobs", "--json").stdout) == []


def test_no_jobs_are_said_so(run: Terminal) -> None:
    done = run("jobs")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "you have no jobs\n")


def test_names_steer_no_terminal(run: Terminal) -> None:
    run.scheduler.has("7", name=_EVIL, nodes=(_EVIL,), state="pending", reason=_EVIL)
    (run.portal.workspace.site / "evil").mkdir(parents=True)
    told = json.dumps(_EVIL)
    (run.portal.workspace.site / "evil" / "app.toml").write_text(f"name = {told}\nabout = {told}\n")
    (run.portal.workspace.site / "evil" / "script.sh.j2").write_text("")
    shown = run("jobs").output + run("apps").output + run("apps", "evil").output
    run.portal.instead = [Answer(404, "text/plain", _EVIL.encode())]
    shown += run("open", "7").output
    assert "owned" in shown
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
    assert "\nSTAGE" not in shown


def test_a_log_keeps_its_lines_and_steers_no_terminal(run: Terminal) -> None:
    run.scheduler.has("7", comment=MARKED, state="done")
    run.portal.prints("7", "one\ttwo\n\x1b[31mred\x1b[0m \x9b2J\x07 ☃ \xa0end\n".encode())
    assert run("logs", "7").stdout == "one\ttwo\nred 2J ☃ \xa0end\n"
    assert run("logs", "7", "-f").stdout == "one\ttwo\nred 2J ☃ \xa0end\n"


def test_a_terminal_of_another_character_set_shows_what_it_can(run: Terminal) -> None:
    run.scheduler.has("7", comment=MARKED, state="done")
    run.portal.prints("7", "é ☃\n".encode())
    shown = CliRunner(charset="latin-1").invoke(main, ["logs", "7"])
    assert (shown.exit_code, shown.stdout_bytes) == (0, b"\xe9 ?\n")


def test_open_prints_the_address_and_starts_the_browser(run: Terminal) -> None:
    run.scheduler.has("7", comment=MARKED)
    done = run("open", "7")
    assert (done.exit_code, done.stdout, run.opened) == (0, f"{URL}/open/7\n", [f"{URL}/open/7"])
    run.has_browser = False
    assert "open this address yourself" in run("open", "7").stderr


def test_open_can_print_only(run: Terminal) -> None:
    run.scheduler.has("7")
    assert run("open", "7", "--print").stdout == f"{URL}/open/7\n"
    assert run.opened == []


def test_a_job_that_is_over_is_not_opened(run: Terminal) -> None:
    run.scheduler.has("7", state="timed-out")
    done = run("open", "7")
    assert (done.exit_code, run.opened) == (1, [])
    assert done.output == "Error: job 7 is over. Its time was up.\n"
    assert run("open", "8").output == "Error: There is no job 8 of yours.\n"


def test_stop_tries_all_and_says_which_failed(run: Terminal) -> None:
    for job in ("7", "9"):
        run.scheduler.has(job)
    done = run("stop", "7", "8", "nonsense", "9")
    assert (done.exit_code, done.stdout) == (1, "stopped 7\nstopped 9\n")
    assert done.stderr == (
        "job 8: There is no job 8 of yours.\njob nonsense: 'nonsense' is no job; see: supercloud jobs\n"
    )
    assert run.scheduler.cancelled == ["7", "9"]
    assert run("stop", "7").exit_code == 0
    assert run("stop").exit_code == 2


def test_a_portal_that_cannot_be_reached_is_said(run: Terminal) -> None:
    run.portal.instead = [NoAnswer(f"{URL}: not reachable: Connection refused")]
    done = run("jobs")
    assert (done.exit_code, done.output) == (1, f"Error: {URL}: not reachable: Connection refused\n")


def test_what_nobody_uses_is_shown_and_renewed(run: Terminal) -> None:
    job_id = run("launch", "web", "command=x").stdout.strip()
    run.scheduler.has(job_id, comment=run.scheduler.known[job_id].comment)
    workspace = run.portal.workspace
    folder = Path(workspace.sessions.find(job_id).folder)
    (folder / "idle.json").write_text(json.dumps({"since": workspace.now - 300, "ends": workspace.now + 60}))
    workspace.sessions.forget()
    assert "as nobody uses it" in run("jobs").stdout
    done = run("renew", job_id, "99")
    assert (done.exit_code, done.stdout) == (1, f"renewed {job_id}\n")
    assert "There is no job 99 of yours." in done.stderr
    assert "as nobody uses it" not in run("jobs").stdout
