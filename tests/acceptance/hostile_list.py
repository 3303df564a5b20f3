"""Attacks that succeeded once, each by name, with the tests that replay it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass

from tests.acceptance.lab_of import Lab

_WITHIN = 600  # seconds for one
_COUNT = re.compile(r"(\d+) passed")


@dataclass(frozen=True)
class Attack:
    """One kind.

    :ivar name: what an attacker does.
    :ivar seen: what came of it once.
    :ivar bound: what holds now.
    :ivar tests: below ``tests/``.
    """

    name: str
    seen: str
    bound: str
    tests: tuple[str, ...]


ATTACKS = (
    Attack(
        "a viewer's own worker says whether she may use bob's forward",
        "a forward of mode 0700 opened for her",
        "the kernel says so to a process that became her",
        ("integration/test_lying_workers.py",),
    ),
    Attack(
        "a token for launching jobs adds an ssh key",
        "the key outlived the token",
        "scopes of their own, least by default",
        ("unit/test_api_scopes.py", "scenario/test_programs_sign_in.py"),
    ),
    Attack(
        "trailers and fields that claim to be somebody",
        "X-Forwarded-User in a trailer, X-Username in a field reached applications",
        "one list for both",
        ("scenario/test_nobody_claims_to_be_somebody_else.py",),
    ),
    Attack(
        "a line feed before the request line, lengths where no content is",
        "TRACE reached the application",
        "the whole head is judged",
        ("scenario/test_smuggling_corpus.py",),
    ),
    Attack(
        "an answer that is malformed, so that a request is sent again",
        "a GET that was seen was sent twice",
        "once only, and never after any byte",
        ("scenario/test_kept_connection_is_retried_once.py",),
    ),
    Attack(
        "a window of another site that watches what comes",
        "a download or a page told whether a file was there",
        "one answer for all",
        ("scenario/test_other_sites_learn_nothing.py",),
    ),
    Attack(
        "an account whose shell is nologin, wrong passwords, names that are passwords",
        "it signed in; refusals named nobody",
        "refused with words; the audit says who tried",
        ("integration/test_sign_in.py", "scenario/test_the_audit_says_who_tried.py"),
    ),
    Attack(
        "a token's program on a connection that a session opened; a password in memory",
        "it passed the application's guard; seen after 70 s",
        "the pool's key holds what was shown; gone after a second",
        ("scenario/test_opening_an_application.py", "integration/test_passwords_leave_memory.py"),
    ),
    Attack(
        "much work for the front, and parts that stand still",
        "the monitor took a busy front for a breach after 5 s",
        "only a closed end is a death",
        ("integration/test_standing_still.py", "integration/monitor/test_standing_still.py"),
    ),
    Attack(
        "content that stalls everybody: links, cookies, chunks, frames, pages",
        "others waited 1.3 to 4.6 s",
        "a share of each turn for each account (speed: make bench ONLY=fairness)",
        ("scenario/test_nobody_holds_others_up.py", "unit/test_shares.py"),
    ),
    Attack(
        "lingering sockets at portal.sock, names whose DNS never answers, searches",
        "nobody's locks, tokens or nodes answered meanwhile",
        "lines and shares for each account",
        (
            "integration/test_names_that_nobody_answers.py",
            "unit/desk/test_service.py",
            "unit/test_closer.py",
            "unit/test_lines.py",
            "unit/ident2/test_searches.py",
        ),
    ),
    Attack(
        "20,000 connections that send nothing, or one account's idle ones",
        "all places were taken",
        "whoever has most gives up what was idle longest",
        ("scenario/test_places_for_connections.py", "unit/front/test_places.py"),
    ),
    Attack(
        "14 clients with wrong passwords at a neighbour's address",
        "the right password was kept out for more than 30 s",
        "known browsers and accounts without failures go by",
        ("unit/authn/test_throttle.py", "scenario/test_people_sign_in_by_password.py"),
    ),
    Attack(
        "cookies planted for the parent domain: many, large, or with the portal's own names",
        "431 everywhere; files uploaded into the planter's home",
        "cleared, with words; two of one name count for nobody",
        ("scenario/test_planted_cookies.py",),
    ),
    Attack(
        "coded pages with large windows",
        "7.7 MB for each page",
        "no such coding is asked for; so many pages for each account",
        ("scenario/test_links_under_a_prefix.py",),
    ),
    Attack(
        "questions that fill the link to the monitor, locks that fill the book",
        "three accounts ended the link, ten filled the book",
        "shares, with words",
        ("unit/test_lane.py", "unit/monitor/test_client.py", "unit/desk/test_locks.py"),
    ),
    Attack(
        "messages that are almost right, from a front, a worker, an account",
        "",
        "an answer by the table, or the end of whoever sent them",
        ("property/test_fuzzed_messages.py", "integration/test_fuzzed_processes.py"),
    ),
    Attack(
        "an application's page on the portal's own origin",
        "a link from anywhere made a token and read files",
        "none is served there",
        ("scenario/test_origins_belong_to_one_owner.py", "unit/routing/test_origin_rule.py"),
    ),
)


def run(lab: Lab) -> None:
    """See the module's first line."""
    for attack in ATTACKS:
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *(f"tests/{one}" for one in attack.tests)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_WITHIN)
        found = _COUNT.search(done.stdout)
        before = f"; before: {attack.seen}" if attack.seen else ""
        passed = int(found[1]) if found else 0
        said = f"{attack.name}: {attack.bound} ({passed} tests){before}"
        lab.holds(
            done.returncode == 0 and passed > 0, said if done.returncode == 0 else f"{said}\n{done.stdout[-1500:]}"
        )
