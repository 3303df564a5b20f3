"""A job's script from its template (Jinja2): what somebody typed into the form stays a value and is never a command.

What ``{{ … }}`` gives does not go into the text. It is put into a variable of the script's, set in its first lines and
quoted there, and the text gets ``"${_value1}"``, which a shell replaces by the value and looks at no further: within
double quotes, a here-document or nothing at all. Whole numbers are written out as they are. What is left is what no
script may do with a variable either: hand it to ``eval``, to another shell's ``-c`` or, being a text, to arithmetic.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from supercloud.applications.definition import WrongDefinition

_VARIABLE: Final = "_value"
_UNABLE: Final = (
    *(nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock, nodes.Block, nodes.Extends, nodes.Include),
    *(nodes.Import, nodes.FromImport),
)


class Template:
    """A script's template.

    :param text: of a bash script.
    :raises WrongDefinition: it cannot be read.
    """

    def __init__(self, text: str, *, name: str = "script") -> None:
        self._name = name
        self._text = text
        try:
            parsed = _environment([]).parse(text)
        except jinja2.TemplateSyntaxError as error:
            raise WrongDefinition(f"{name}, line {error.lineno}: {error.message}") from None
        for node in parsed.find_all(_UNABLE):
            # Their text would be a value, and no part of the script.
            raise WrongDefinition(
                f"{name}, line {node.lineno}: only if, for, set and {{{{ … }}}} can be used in a script"
            )

    def fill(self, values: Mapping[str, Any]) -> str:
        """The script for these values.

        :raises WrongDefinition: the template asks for what there is not, or does what it may not.
        """
        used: list[str] = []
        try:
            text = _environment(used).from_string(self._text).render(values)
        except jinja2.TemplateError as error:
            raise WrongDefinition(f"{self._name}: {error}") from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise WrongDefinition(f"{self._name}: {type(error).__name__}: {error}") from None
        first, _, rest = text.partition("\n") if text.startswith("#!") else ("#!/bin/bash", "", text)
        lines = [f"{_VARIABLE}{number}={shlex.quote(value)}" for number, value in enumerate(used, 1)]
        return "\n".join([first, *lines, rest.rstrip("\n"), ""])


def _environment(used: list[str]) -> jinja2.Environment:
    """One whose output is collected in ``used``."""

    def finalize(value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, jinja2.Undefined):
            str(value)  # raises, with the name
        text = str(value)
        if "\0" in text:
            raise ValueError("a value has a NUL, which no shell can hold")
        used.append(text)
        return f'"${{{_VARIABLE}{len(used)}}}"'

    return ImmutableSandboxedEnvironment(
        finalize=finalize, undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
