"""Whatever somebody types is a value and never a command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from supercloud.applications.definition import WrongDefinition
from supercloud.applications.template import Template

# Places in which a template's author may have put a value, properly or not.
PLACES = {
    "bare": "echo {{ x }}",
    "double quotes": 'echo "a {{ x }} b"',
    "single quotes": "echo 'a {{ x }} b'",
    "assignment": "y={{ x }}\necho \"$y\"",
    "here document": "cat <<END\n{{ x }}\nEND",
    "substitution": "echo $(printf %s {{ x }})",
    "backquotes": "echo `printf %s {{ x }}`",
    "test": 'if [ {{ x }} = y ]; then echo yes; fi\n[[ {{ x }} == y ]] || true',
    "case": "case {{ x }} in y) echo yes ;; esac",
    "for": "for one in {{ x }}; do echo \"$one\"; done",
    "array": "a=({{ x }})\necho \"${a[@]}\"",
    "comment": "# {{ x }}\necho done",
    "filter": "echo {{ x | upper }} {{ x ~ x }} {{ x | replace('a', 'b') }}",
    "loop": "{% for one in x.split() %}echo {{ one }}\n{% endfor %}",
    "set": "{% set y = x %}echo {{ y }}",
}  # fmt: skip
ATTACKS = [
    "$(touch {f})",
    "`touch {f}`",
    "; touch {f}; ",
    "'; touch {f}; '",
    '"; touch {f}; "',
    "\n touch {f} \n",
    "| touch {f}",
    "&& touch {f}",
    "\\\n; touch {f}",
    "${{x:-$(touch {f})}}",
    "END\ntouch {f}\n",
    "*) touch {f} ;;",
    ") ; touch {f} ; (",
    "{{% raw %}}{{{{ 7*7 }}}}",
    "}} {{ touch {f}",
    "\u2028touch {f}",
    "-n $'\\x24(touch {f})'",
]


@pytest.mark.parametrize("place", PLACES)
def test_no_value_is_run_wherever_it_stands(tmp_path: Path, place: str) -> None:
    template = Template(PLACES[place])
    for number, attack in enumerate(ATTACKS):
        made = tmp_path / f"made-{number}"
        value = attack.replace("{f}", str(made)).replace("{{", "{").replace("}}", "}")
        subprocess.run(["bash", "-c", template.fill({"x": value})], capture_output=True, cwd=tmp_path, timeout=10)
        assert not made.exists(), (place, attack)
    assert not list(tmp_path.iterdir())


def test_a_value_arrives_as_it_was_typed() -> None:
    value = "a  b\n$(id) `id` ' \" \\ ${HOME} * é"
    done = subprocess.run(["bash", "-c", Template("printf %s {{ x }}").fill({"x": value})], capture_output=True)
    assert done.stdout.decode() == value


def test_numbers_and_truths_are_written_out() -> None:
    text = Template("a=$(( {{ n }} * 2 )) {{ yes }} {{ 3 * n }}").fill({"n": 21, "yes": True})
    assert "a=$(( 21 * 2 )) true 63" in text
    assert "_value" not in text


def test_conditions_choose_lines() -> None:
    template = Template("{% if gpus %}echo {{ gpus }}{% else %}echo none{% endif %}\n")
    assert "echo 2" in template.fill({"gpus": 2})
    assert "echo none" in template.fill({"gpus": 0})


def test_the_first_line_stays_the_first() -> None:
    assert Template("#!/bin/bash -e\necho {{ x }}\n").fill({"x": "y"}).splitlines() == [
        *("#!/bin/bash -e", "_value1=y", 'echo "${_value1}"'),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{% if %}", "line 1"),
        ("a\n{{ }}", "line 2"),
        ("{% macro m() %}x{% endmacro %}", "only if, for, set"),
        ("{% include 'x' %}", "only if, for, set"),
        ("{% filter upper %}x{% endfilter %}", "only if, for, set"),
        ("{% set x %}y{% endset %}", "only if, for, set"),
        ("{% block b %}{% endblock %}", "only if, for, set"),
        ("{{ x | nothing }}", "nothing"),
    ],
)
def test_what_cannot_be_used_is_said_when_it_is_read(text: str, words: str) -> None:
    with pytest.raises(WrongDefinition, match=words):
        Template(text, name="script.sh.j2").fill({"x": "y"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ missing }}", "missing"),
        ("{{ x.__class__.__mro__ }}", "unsafe|undefined"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ x + 1 }}", "TypeError"),
        ("{{ nul }}", "NUL"),
    ],
)
def test_what_fails_while_it_is_filled_is_said(text: str, words: str) -> None:
    with pytest.raises(WrongDefinition, match=words):
        Template(text).fill({"x": "y", "nul": "a\0b"})
