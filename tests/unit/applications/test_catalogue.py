"""Applications are folders; what is wrong with one is said, and stops no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supercloud.applications.catalogue import MOST_BYTES, App, Broken, Catalogue
from supercloud.applications.definition import WrongDefinition, read_definition

SHIPPED = Path(__file__).parents[3] / "conf" / "apps"


def make(folder: Path, name: str, definition: str = 'name = "One"', script: str = "echo {{ app }}") -> Path:
    app = folder / name
    app.mkdir(parents=True)
    (app / "app.toml").write_text(definition)
    (app / "script.sh.j2").write_text(script)
    return app


def test_a_folder_with_a_definition_is_an_application(tmp_path: Path) -> None:
    make(tmp_path / "site", "one")
    (tmp_path / "site" / "none").mkdir()
    make(tmp_path / "site", "Not A Name")
    catalogue = Catalogue([tmp_path / "site", tmp_path / "missing"], tmp_path / "own")
    [app] = catalogue.all()
    assert isinstance(app, App)
    assert (app.id, app.definition.name, app.is_own) == ("one", "One", False)
    assert catalogue.find("one") is not None
    for name in ("two", "../one", "", "One", "one/"):
        assert catalogue.find(name) is None


def test_ones_own_goes_before_the_sites(tmp_path: Path) -> None:
    make(tmp_path / "site", "one")
    make(tmp_path / "own", "one", 'name = "Mine"')
    catalogue = Catalogue([tmp_path / "site"], tmp_path / "own")
    [app] = catalogue.all()
    assert isinstance(app, App)
    assert (app.definition.name, app.is_own) == ("Mine", True)


@pytest.mark.parametrize(
    ("definition", "script", "words"),
    [
        ("name = ", "", "app.toml"),
        ('nme = "x"', "", "nme"),
        ('name = "x"\n[[field]]\nname = "UPPER"', "", "UPPER|regex|pattern"),
        ('name = "x"', "{% if %}", "line 1"),
        ('name = "x"\nscript = "../other"', "", "script"),
        ('name = "x"\nscript = "missing.sh"', "", "No such file"),
        ('name = "x"', "#" * (MOST_BYTES + 1), "longer"),
    ],
)
def test_a_broken_one_says_why_and_stops_no_other(tmp_path: Path, definition: str, script: str, words: str) -> None:
    import re

    make(tmp_path / "site", "good")
    make(tmp_path / "site", "bad", definition, script)
    catalogue = Catalogue([tmp_path / "site"], tmp_path / "own")
    good, bad = catalogue.all()
    assert isinstance(good, App)
    assert isinstance(bad, Broken)
    assert re.search(words, bad.why)
    assert catalogue.find("bad") is None


def test_a_change_counts_at_once(tmp_path: Path) -> None:
    app = make(tmp_path / "site", "one")
    catalogue = Catalogue([tmp_path / "site"], tmp_path / "own")
    first = catalogue.all()[0]
    assert catalogue.all()[0] is first
    (app / "app.toml").write_text('name = "Two"')
    os.utime(app / "app.toml", ns=(1, 1))
    found = catalogue.find("one")
    assert found is not None and found.definition.name == "Two"


@pytest.mark.parametrize(
    "field",
    [
        'name = "cpus"',
        'name = "x"\nkind = "choice"',
        'name = "x"\nchoices = [{ value = "a" }]',
        'name = "x"\nkind = "integer"\ndefault = "a"',
        'name = "x"\nkind = "flag"\ndefault = 1',
        'name = "x"\npattern = "["',
        'name = "x"\nwhen = { later = ["a"] }',
        'name = "x"\nkind = "choice"\ndefault = "c"\nchoices = [{ value = "a" }]',
        'name = "x"\n[[field]]\nname = "x"',
    ],
)
def test_a_field_that_cannot_be_asked_is_refused(field: str) -> None:
    with pytest.raises(WrongDefinition, match="field"):
        read_definition(f'name = "A"\n[[field]]\n{field}\n'.encode())


def test_all_that_ship_can_be_read() -> None:
    found = Catalogue([SHIPPED], Path("/nonexistent")).all()
    assert [one.id for one in found if isinstance(one, Broken)] == []
    assert {"jupyterlab", "notebook", "tensorboard", "web"} <= {one.id for one in found}
