"""Types of options' values, besides click's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from hwquant.options import OTHERS, Spelling


class Spelled(click.ParamType):
    """A value that is written as its option's class says."""

    name = "text"

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a text, or a list of a configuration file."""
        try:
            text = self._spelling.show(tuple(value)) if isinstance(value, list) else value
            return self._spelling.parse(str(text))
        except (ValueError, TypeError) as error:
            self.fail(str(error), param, ctx)


class ByName(click.ParamType):
    """A value for all, or values by name: ``4``, ``conv1=4,fc=8``, or ``4,fc=8``, where 4 is for what is not named."""

    name = "by name"

    def __init__(self, single: Any) -> None:
        self._single = click.types.convert_type(single)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a text, or a table of a configuration file."""

        def one(item: Any) -> Any:
            return self._single.convert(item, param, ctx)

        if isinstance(value, Mapping):
            return {str(name): one(item) for name, item in value.items()}
        if not isinstance(value, str) or not {",", "="} & set(value):
            return one(value)
        result: dict[str, Any] = {}
        for part in value.split(","):
            name, equals, text = part.rpartition("=")
            name = name.strip() if equals else OTHERS
            if not name or name in result:
                what = (
                    "two values for the others" if name == OTHERS else f"{part!r} after another value for it"
                )
                self.fail(
                    f"{value!r} has {what if name else 'a value without a name'}; write such as 4,conv1=3,fc=8",
                    param,
                    ctx,
                )
            result[name] = one(text.strip())
        return result


class LateChoice(click.ParamType):
    """A choice among what a registry holds that is too heavy to be loaded before it is asked for."""

    name = "choice"

    def __init__(self, load: Callable[[], Iterable[str]]) -> None:
        self._load = load

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """All choices, as the help shows them."""
        return click.Choice(list(self._load())).get_metavar(param, ctx)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that a value is one of the choices."""
        return click.Choice(list(self._load())).convert(value, param, ctx)
