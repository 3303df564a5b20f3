"""Pages and API: what they show, and what they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from supercloud.pages.api import log_part
from supercloud.scheduler.interface import Job, Listener, Refused, Silent, Submission
from supercloud.workers.asking import MOST_WORKSPACE
from supercloud.workers.job_told import JobAt
from tests.fakes.workspace import FakeWorkspace


@pytest.fixture
def here(tmp_path: Path) -> FakeWorkspace:
    return FakeWorkspace(tmp_path)


def api(here: FakeWorkspace, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body)
    answer = here.client.open(f"/api{path}", method=method, data=data)
    return answer.status_code, json.loads(answer.data) if answer.data else None


PAGES = ("/", "/launch", "/launch/web", "/jobs", "/jobs/7", "/forwards", "/keys")


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_whole(here: FakeWorkspace, path: str) -> None:
    here.scheduler.has("7")
    answer = here.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.text.startswith("<!doctype html>") and answer.text.rstrip().endswith("</html>")
    assert "<script>" not in answer.text and " style=" not in answer.text and " onclick" not in answer.text


@pytest.mark.parametrize("path", [*PAGES, "/jobs/8", "/launch/none", "/none"])
def test_each_page_says_as_whom_one_is_signed_in(here: FakeWorkspace, path: str) -> None:
    """A browser that lets pages plant cookies may have somebody signed in as another."""
    here.scheduler.has("7")
    assert '<span class="soft">alice</span>' in here.client.get(path).text.partition("<main")[0]


@pytest.mark.parametrize("path", PAGES)
def test_names_are_text_wherever_they_come_from(here: FakeWorkspace, path: str) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x>"
    here.scheduler.has("7", name=evil, reason=evil, partition=evil, nodes=(evil,), state="pending")
    (here.site / "web").mkdir(parents=True)
    (here.site / "web" / "app.toml").write_text(f"name = '''{evil}'''\nabout = '''{evil}'''\nicon = '<b>'\n")
    (here.site / "web" / "script.sh.j2").write_text("")
    (here.home / ".ssh").mkdir()
    (here.home / ".ssh" / "authorized_keys").write_text(
        f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA {evil}\n"
    )
    text = here.client.get(path).text
    assert "<script>alert" not in text and "<img" not in text


def test_an_application_is_started_from_its_form(here: FakeWorkspace) -> None:
    answer = here.client.post("/launch/web", data={"command": "serve", "cpus": "2"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs/41")
    assert len(here.scheduler.submitted) == 1


def test_a_form_that_is_wrong_comes_back_with_what_was_typed(here: FakeWorkspace) -> None:
    answer = here.client.post("/launch/web", data={"command": "a <b>", "cpus": "99"})
    assert answer.status_code == 422
    assert (
        "a &lt;b&gt;" in answer.text and "Ask for 16 at most." in answer.text and 'aria-invalid="true"' in answer.text
    )
    assert not here.scheduler.submitted


def test_a_job_that_was_started_is_told_though_the_scheduler_falls_silent(here: FakeWorkspace) -> None:
    taken = here.scheduler.submit

    def submit(submission: Submission) -> str:
        job_id = taken(submission)
        here.scheduler.trouble = Silent("SLURM does not answer now.")
        return job_id

    here.scheduler.submit = submit  # type: ignore[method-assign]
    assert api(here, "POST", "/jobs", {"app": "web", "values": {"command": "x"}}) == (201, {"id": "41"})


def test_thousands_of_jobs_are_no_more_than_the_front_takes_for_open_pages(here: FakeWorkspace) -> None:
    for number in range(3000):
        here.scheduler.has(str(1000 + number), name="n" * 60, nodes=(f"node{number}",))
    told = here.client.get("/api/workspace").data
    assert len(told) < MOST_WORKSPACE
    assert json.loads(told)["sessions"][0]["id"] == "3999"
    assert len(api(here, "GET", "/jobs")[1]["jobs"]) == 3000


def test_a_body_that_is_too_deep_is_refused(here: FakeWorkspace) -> None:
    deep = b'{"app": "web", "values": ' + b'{"a": ' * 20_000 + b"1" + b"}" * 20_001
    answer = here.client.post("/api/jobs", data=deep)
    assert (answer.status_code, b"object in JSON" in answer.data) == (400, True)


def test_a_body_of_no_letters_is_refused(here: FakeWorkspace) -> None:
    answer = here.client.post("/api/jobs", data=b'{"app": "\xff"}')
    assert (answer.status_code, b"object in JSON" in answer.data) == (400, True)


@pytest.mark.parametrize("hostile", [b'{"x": "\xff"}', b'{"x": ' + b"[" * 9000 + b"]" * 9000 + b"}"])
@pytest.mark.parametrize("path", ["/", "/api/jobs", "/launch/web"])
def test_files_that_make_no_sense_break_no_page(here: FakeWorkspace, path: str, hostile: bytes) -> None:
    job_id = here.workspace.launch(here.workspace.catalogue.find("web"), {"command": "x"})  # type: ignore[arg-type]
    here.scheduler.has(job_id, comment=here.scheduler.known[job_id].comment)
    [folder] = (here.home / ".local/share/supercloud/jobs").iterdir()
    for file in (
        here.announced / f"{job_id}.json", here.runtime / "jpserver-1.json", folder / "idle.json",
        here.home / "state/web.json",
    ):  # fmt: skip
        file.write_bytes(hostile)
        file.chmod(0o600)
    assert here.client.get(path).status_code == 200


def test_what_the_scheduler_refuses_is_on_the_page(here: FakeWorkspace) -> None:
    def refuse(submission: object) -> str:
        raise Refused("SLURM refused this: invalid account")

    here.scheduler.submit = refuse  # type: ignore[assignment]
    answer = here.client.post("/launch/web", data={"command": "x"})
    assert (answer.status_code, "invalid account" in answer.text) == (409, True)


def test_while_the_scheduler_is_silent_the_rest_of_the_workspace_is_there(here: FakeWorkspace) -> None:
    here.scheduler.trouble = Silent("SLURM does not answer now.")
    home = here.client.get("/")
    assert home.status_code == 200 and "SLURM does not answer now." in home.text and "JupyterLab" in home.text
    assert here.client.get("/jobs").status_code == 200
    assert here.client.get("/launch/web").status_code == 503
    assert api(here, "GET", "/workspace")[0] == 503


def test_a_job_is_stopped(here: FakeWorkspace) -> None:
    here.scheduler.has("7")
    assert here.client.post("/jobs/7/stop").headers["Location"] == "/jobs/7"
    assert here.scheduler.cancelled == ["7"]
    assert here.client.post("/jobs/8/stop").status_code == 404


def test_tokens_are_never_told(here: FakeWorkspace) -> None:
    here.scheduler.has("7")
    here.announce("7")
    for path in (*PAGES, "/api/workspace", "/api/jobs", "/api/jobs/7"):
        answer = here.client.get(path)
        assert "very-secret" not in answer.text, path
    assert 'href="/open/7"' in here.client.get("/").text
    assert api(here, "GET", "/jobs/7")[1]["open"] == "/open/7"


def test_the_api_starts_shows_and_ends_jobs(here: FakeWorkspace) -> None:
    status, told = api(here, "POST", "/jobs", {"app": "web", "values": {"command": "x", "cpus": 2}})
    assert (status, told) == (201, {"id": "41"})
    assert [one["id"] for one in api(here, "GET", "/jobs")[1]["jobs"]] == ["41"]
    assert api(here, "GET", "/jobs/41/log")[1] == {"text": "", "offset": 0, "over": False}
    assert api(here, "DELETE", "/jobs/41") == (204, None)
    assert here.scheduler.cancelled == ["41"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/jobs", {"app": "web"}, 422, "command"),
        ("POST", "/jobs", {"app": "web", "values": []}, 422, "object"),
        ("POST", "/jobs", {"app": 5}, 422, "app"),
        ("POST", "/jobs", [], 400, "object"),
        ("POST", "/jobs", {"app": "none"}, 404, "application"),
        ("GET", "/jobs/99", None, 404, "no job 99"),
        ("GET", "/jobs/99/log", None, 404, "no job"),
        ("GET", "/apps/none", None, 404, "application"),
        ("POST", "/keys", {"key": "x"}, 409, "public key"),
        ("DELETE", "/keys?fingerprint=x", None, 404, "key"),
        ("PUT", "/forwards/x", {"url": "nothing"}, 409, ""),
        ("DELETE", "/forwards/x", None, 409, "no forward x"),
        ("POST", "/forwards/x/share", {}, 422, "group"),
        ("POST", "/forwards/x/share", {"group": "a\0b"}, 409, "no group"),
        ("POST", "/forwards/x/share", {"group": "\u0085" * 5000}, 409, "no group"),
        ("PUT", "/forwards/x", {"url": "http://node1:12001/\0"}, 409, ""),
        ("POST", "/keys", {"key": "ssh-ed25519 \0"}, 409, "public key"),
        ("POST", "/jobs", {"app": "web", "values": {"command": "a\0b"}}, 422, "control"),
        ("PATCH", "/jobs", None, 405, ""),
        ("GET", "/none", None, 404, ""),
    ],
)
def test_what_the_api_refuses_it_refuses_in_words(
    here: FakeWorkspace, method: str, path: str, body: Any, status: int, words: str
) -> None:
    answered, told = api(here, method, path, body)
    assert answered == status == told["status"]
    assert words in json.dumps(told)


def test_a_method_that_does_not_fit_is_told_which_ones_do(here: FakeWorkspace) -> None:
    for path in ("/api/jobs/7", "/jobs/7"):
        answer = here.client.open(path, method="PATCH")
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) >= {"GET", "HEAD", "OPTIONS"}, path


def test_a_body_that_is_too_long_is_refused(here: FakeWorkspace) -> None:
    assert here.client.post("/api/jobs", data=b"x" * 300_000).status_code == 413
    assert here.client.post("/launch/web", data={"command": "x" * 300_000}).status_code == 413


def test_a_mistake_of_our_own_tells_nothing(here: FakeWorkspace, caplog: pytest.LogCaptureFixture) -> None:
    here.scheduler.trouble = KeyError("secret-detail")
    answer = here.client.get("/jobs")
    assert answer.status_code == 500 and "secret-detail" not in answer.text
    assert "secret-detail" in caplog.text


def test_forwards_are_made_switched_and_removed(here: FakeWorkspace) -> None:
    def do(**form: str) -> int:
        return here.client.post("/forwards", data=form).status_code

    assert do(do="add", name="alice-tb", url="http://node1:12001/") == 303
    assert (here.forwards / "alice-tb").read_text() == "http://node1:12001/\n"
    assert do(do="disable", name="alice-tb") == 303
    assert "Switch on" in here.client.get("/forwards").text
    assert do(do="add", name="../x", url="http://node1:12001/") == 409
    assert do(do="share", name="alice-tb", group="nothing-such") == 409
    assert "Stop sharing" not in here.client.get("/forwards").text
    (here.forwards / "alice-tb").chmod(0o710)
    assert "Stop sharing" in here.client.get("/forwards").text
    assert do(do="unshare", name="alice-tb") == 303
    assert (here.forwards / "alice-tb").stat().st_mode & 0o777 == 0o700
    (here.forwards / "alice-tb").chmod(0o711)
    assert api(here, "POST", "/forwards/alice-tb/unshare") == (204, None)
    assert (here.forwards / "alice-tb").stat().st_mode & 0o777 == 0o700
    assert do(do="remove", name="alice-tb") == 303
    assert do(do="other", name="x") == 400
    assert list(here.forwards.iterdir()) == []


def test_a_private_key_is_not_given_back(here: FakeWorkspace) -> None:
    answer = here.client.post("/keys", data={"do": "add", "key": "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdef"})
    assert answer.status_code == 409
    assert "private key" in answer.text and "abcdef" not in answer.text


def test_what_is_printed_is_text(here: FakeWorkspace) -> None:
    job_id = api(here, "POST", "/jobs", {"app": "web", "values": {"command": "x"}})[1]["id"]
    folder = Path(here.sessions.find(job_id).folder)
    (folder / "output.log").write_bytes(b"\x1b[31mred\x1b[0m \x1b]0;title\x07<b>\r\n50%\r100%\n\xff")
    assert api(here, "GET", f"/jobs/{job_id}/log")[1]["text"] == "red <b>\n50%\n100%\n\ufffd"
    assert "red &lt;b&gt;" in here.client.get(f"/jobs/{job_id}").text


def test_every_address_of_the_api_is_described(here: FakeWorkspace) -> None:
    described = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, operations in api(here, "GET", "/openapi.json")[1]["paths"].items()
        for method in operations
    }
    from flask import Flask

    from supercloud.pages.api import make_api

    app = Flask("x", static_folder=None)
    app.register_blueprint(make_api(here.workspace))
    there = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described - {("GET", "/api/token")} == there  # that one the front tells


def test_the_last_job_on_a_node_is_told_to_the_front(here: FakeWorkspace) -> None:
    assert here.workspace.job_at("node1") is None
    here.scheduler.has("7", state="cancelled", ends=940.0)
    here.scheduler.has("8", state="done", ends=None, nodes=("node2",))
    here.sessions.forget()
    assert here.workspace.job_at("node1.cluster") == JobAt("7", 60.0)
    assert here.workspace.job_at("node2") is None
    here.scheduler.has("9", state="done", ends=900.0)
    here.sessions.forget()
    assert here.workspace.job_at("node1") == JobAt("7", 60.0), "the one that ended last"
    here.scheduler.has("6", nodes=("Node1",))
    here.sessions.forget()
    assert here.workspace.job_at("node1") == JobAt("6", None)
    here.scheduler.trouble = Silent("x")
    here.sessions.forget()
    assert here.workspace.job_at("node1") is None


def test_what_nobody_uses_is_renewed_from_its_card_and_by_the_api(here: FakeWorkspace) -> None:
    job_id = api(here, "POST", "/jobs", {"app": "web", "values": {"command": "x"}})[1]["id"]
    here.scheduler.has(job_id, comment=here.scheduler.known[job_id].comment)
    assert "Renew" not in here.client.get("/").text
    folder = Path(here.sessions.find(job_id).folder)
    (folder / "idle.json").write_text('{"since": 100, "ends": 1060}')
    assert api(here, "GET", f"/jobs/{job_id}")[1]["idle"] == {"since": 100.0, "ends": 1060.0}
    here.sessions.forget()
    for path in ("/", "/jobs", f"/jobs/{job_id}"):
        assert f'action="/jobs/{job_id}/renew"' in here.client.get(path).text
    assert here.client.post(f"/jobs/{job_id}/renew").headers["Location"] == f"/jobs/{job_id}"
    assert "Renew" not in here.client.get("/").text
    assert api(here, "GET", f"/jobs/{job_id}")[1]["idle"] is None
    assert api(here, "POST", f"/jobs/{job_id}/renew") == (204, None)
    assert api(here, "POST", "/jobs/99/renew")[0] == 404


def test_a_job_that_is_over_leads_to_its_form(here: FakeWorkspace) -> None:
    job_id = api(here, "POST", "/jobs", {"app": "web", "values": {"command": "x"}})[1]["id"]
    comment = here.scheduler.known[job_id].comment
    here.scheduler.has(job_id, comment=comment)
    assert "/launch/web" not in here.client.get(f"/jobs/{job_id}").text
    here.scheduler.has(job_id, comment=comment, state="failed")
    here.scheduler.has("7", state="done")
    here.sessions.forget()
    assert '<a href="/launch/web">Start another</a>' in here.client.get(f"/jobs/{job_id}").text
    assert "Start another" not in here.client.get("/jobs/7").text


def test_an_address_that_is_nobodys_says_so_in_our_words(here: FakeWorkspace) -> None:
    assert "There is nothing at this address." in here.client.get("/none").text
    assert api(here, "GET", "/none")[1]["detail"] == "There is nothing at this address."


def test_what_the_site_tells_everybody_is_on_each_page_and_is_text(here: FakeWorkspace) -> None:
    told = {"Supercloud-Notices": quote('[{"kind":"warning","text":"Slow <b>today</b>, Müller."}]', safe="")}
    for path in (*PAGES, "/none", "/jobs/99"):
        text = here.client.get(path, headers=told).text
        assert '<p class="notice warning">Slow &lt;b&gt;today&lt;/b&gt;, Müller.</p>' in text, path
    answer = here.client.get("/api/workspace", headers=told).json
    assert answer is not None
    assert answer["notices"] == [{"kind": "warning", "text": "Slow <b>today</b>, Müller."}]
    for nonsense in ("", "%", "[]", "[1]", quote('[{"kind":"x","text":"y"}]')):
        assert 'class="notice' not in here.client.get("/", headers={"Supercloud-Notices": nonsense}).text


@pytest.mark.parametrize(
    ("begun", "rest", "whole"),
    [
        (b"\xe2\x98", b"\x83", "☃"),
        (b"\x1b", b"[31mred", "red"),
        (b"\x1b[38;5;1", b"23mred", "red"),
        (b"\x1b]0;title", b" of it\x07text", "text"),
        (b"\x1b]0;title\x1b", b"\\text", "text"),
        (b"\r", b"\nline", "\nline"),
    ],
)
def test_output_that_ends_within_something_waits_for_its_rest(begun: bytes, rest: bytes, whole: str) -> None:
    assert log_part(b"before " + begun, is_last=False) == ("before ", 7)
    assert log_part(begun + rest, is_last=False) == (whole, len(begun + rest))
    text, length = log_part(begun, is_last=True)
    assert length == len(begun)
    assert "\x1b" not in text


def test_output_that_is_never_whole_stalls_nothing(here: FakeWorkspace) -> None:
    assert log_part(b"\x1b]" + b"x" * 300, is_last=False)[1] == 302
    assert log_part(b"\xff\xfe\x80", is_last=False) == ("\ufffd" * 3, 3)
    job_id = here.launching.launch(here.workspace.catalogue.find("web"), {"command": "x"})  # type: ignore[arg-type]
    output = Path(here.sessions.find(job_id).folder) / "output.log"
    output.write_bytes(b"one \xe2\x98")
    assert api(here, "GET", f"/jobs/{job_id}/log?offset=0")[1] == {"text": "one ", "offset": 4, "over": False}
    assert api(here, "GET", f"/jobs/{job_id}/log?offset=4")[1] == {"text": "", "offset": 4, "over": False}
    here.sessions.stop(job_id)
    assert api(here, "GET", f"/jobs/{job_id}/log?offset=4")[1] == {"text": "\ufffd", "offset": 6, "over": True}


def test_what_listens_on_the_nodes_of_jobs_is_looked_for_when_somebody_asks(here: FakeWorkspace) -> None:
    for job_id, state in (("7", "running"), ("8", "pending"), ("9", "running")):
        here.scheduler.has(job_id, state=state)
    here.announce("7")
    hers = Listener(node="node1", port=9000, name="<dash>")
    here.scheduler.listening = {"7": [Listener(node="node1", port=12001, name="lab"), hers], "9": [hers]}
    assert "Look on the nodes" in here.client.get("/").text
    assert here.scheduler.looked == []
    here.scheduler.has("7", nodes=("localhost",))
    here.scheduler.has("9", nodes=("localhost",))
    here.sessions.forget()
    assert "Look on the nodes" not in here.client.get("/").text  # which is this host, and is shown anyway
    here.scheduler.has("7")
    here.scheduler.has("9")
    here.sessions.forget()
    for _ in range(3):
        text = here.client.get("/?look=nodes").text
    assert sorted(here.scheduler.looked) == ["7", "9"]
    assert '<a href="/open/node1:9000">&lt;dash&gt;</a>' in text
    assert "/open/node1:12001" not in text  # which is on its card
    told = api(here, "GET", "/listeners?look=nodes")[1]["listeners"]
    assert {"node": "node1", "port": 9000, "name": "<dash>", "open": "/open/node1:9000"} in told
    here.now += 31
    here.scheduler.listening = {}
    here.client.get("/?look=nodes")
    assert len(here.scheduler.looked) == 4


def test_what_listens_is_one_click_from_a_name(here: FakeWorkspace) -> None:
    here.scheduler.has("7")
    here.scheduler.listening = {"7": [Listener(node="node1", port=9000, name="dash")]}
    assert 'href="/forwards?url=http%3A//node1%3A9000/"' in here.client.get("/?look=nodes").text
    form = here.client.get("/forwards?url=http%3A//node1%3A9000/%22%3E%3Cscript%3E").text
    assert 'value="http://node1:9000/&#34;&gt;&lt;script&gt;"' in form
    assert list(here.forwards.iterdir()) == []


def test_forwards_are_on_the_first_page(here: FakeWorkspace) -> None:
    assert here.workspace.forwards is not None
    here.workspace.forwards.add("alice-tb", "http://node1:12001/")
    assert 'href="/fw/alice-tb/"' in here.client.get("/").text


def test_many_pages_that_wait_for_jobs_ask_the_scheduler_once(here: FakeWorkspace) -> None:
    def afresh(job_id: str) -> Job:
        raise AssertionError(f"asked for {job_id} alone")

    here.scheduler.has("7")
    here.scheduler.has("8")
    here.scheduler.job = afresh  # type: ignore[method-assign]
    for _ in range(20):
        assert [here.workspace.told(one) for one in ("7", "8")] == [None, None]
    here.announce("8")
    assert here.workspace.told("8") is not None
    assert here.scheduler.asked == 1


def test_the_front_is_told_what_listens_at_a_node_and_port(here: FakeWorkspace) -> None:
    job_id = api(here, "POST", "/jobs", {"app": "jupyterlab", "values": {}})[1]["id"]
    here.scheduler.has(job_id, comment=here.scheduler.known[job_id].comment)
    here.announce(job_id, node="Node1", token="abc")
    here.sessions.forget()
    told = here.workspace.told("node1:12001")
    assert told is not None
    assert (told.port, told.authorization) == (12001, "token abc")
    for other in ("node1:12002", "node2:12001", ":", "node1:", "[::1]:12001"):
        assert here.workspace.told(other) is None
    here.scheduler.cancel(job_id)
    here.sessions.forget()
    assert here.workspace.told("node1:12001") is None
    here.scheduler.trouble = Silent("no answer")
    here.sessions.forget()
    assert here.workspace.told("node1:12001") is None
