"""Prices and rate limits of models: one table, with its date, that a team can edit."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from annotation.errors import SettingsError
from annotation.sections import Section

OURS = Path(__file__).with_name("prices.toml")

Key = Literal["trial", "production"]


class Limit(Section):
    """How often a model may be called with one kind of key."""

    per_minute: float = Field(gt=0)
    per_month: int | None = Field(None, ge=0)


class Price(Section):
    """One model: dollars per million tokens, and its limits."""

    input: float = Field(gt=0)
    output: float = Field(gt=0)
    trial: Limit
    production: Limit

    def usd(self, input_tokens: float, output_tokens: float) -> float:
        """Cost of so many tokens, in dollars."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6

    def limit(self, key: Key) -> Limit:
        """How often the model may be called with this kind of key."""
        return self.trial if key == "trial" else self.production


class Prices(Section):
    """The whole table, as of a date."""

    date: date
    models: dict[str, Price]

    def of(self, models: Iterable[str], *, place: str) -> dict[str, Price]:
        """Prices of the models that a project wants to call.

        Raises:
            SettingsError: A model has no price, so its cost could not be counted.
        """
        wanted = list(models)
        for model in wanted:
            if model not in self.models:
                near = difflib.get_close_matches(model, self.models, n=1)
                raise SettingsError(
                    f'"{model}" has no price in {place}'
                    + (f' (did you mean "{near[0]}"?)' if near else "")
                    + "; mend the name, or run `annot draft --prices` and add its price to prices.toml."
                )
        return {model: self.models[model] for model in wanted}


def place_of_prices(folder: Path) -> Path:
    """The table that counts for a project: its own prices.toml, or ours where it has none."""
    own = folder / "prices.toml"
    return own if own.exists() else OURS


def read_prices(folder: Path) -> Prices:
    """Read the table that counts for a project folder.

    Raises:
        SettingsError: The table is no TOML, or a line in it is impossible (a price of 0, a missing limit).
    """
    path = place_of_prices(folder)
    try:
        return Prices.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no valid TOML: {error}; mend that line.") from None
    except ValidationError as error:
        first = error.errors()[0]
        line = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"{path}: {line} = {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}; "
            "a price must be known and above 0 before a model may be called."
        ) from None
