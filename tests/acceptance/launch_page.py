"""The workspace's pages as people use them: a form filled in, a job watched, a job stopped."""

from __future__ import annotations

import re
from typing import Any

from tests.acceptance.cluster_of import ClusterSite
from tests.acceptance.lab_of import NotHeld

STARTS = 60_000  # milliseconds until an application is ready, JupyterLab's first start on a cold disk included


def launch(page: Any, site: ClusterSite, app: str, **fields: str) -> str:
    """Fill the form and send it; the job's id."""
    page.goto(f"{site.url}/launch/{app}")
    if page.locator("details").count():
        page.locator("details").evaluate("details => { details.open = true }")
    for name, value in fields.items():
        field = page.locator(f"#f-{name}")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.click("button.primary")
    page.wait_for_load_state()
    if "/jobs/" not in page.url:
        raise NotHeld(f"{app} with {fields}: {page.inner_text('main')}")
    return str(page.url.rpartition("/")[2])


def ready(page: Any) -> None:
    """Until the page that is open says Open."""
    page.get_by_role("link", name=re.compile("^Open")).wait_for(timeout=STARTS)


def stop(page: Any) -> None:
    """Stop the job whose page is open."""
    page.get_by_role("button", name=re.compile("^Stop")).click()
    page.get_by_text("It was stopped.").wait_for(timeout=20_000)
