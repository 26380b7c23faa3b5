"""Charts of the page as SVG of ours: shapes stretch with the page, and what they say stands in words beside them."""

from __future__ import annotations

from collections.abc import Sequence

from sync.reporting.page.html import Html, joined, tag


def bar(done: int, owed: int) -> Html:
    """How much of what is owed is done; green when all is. The numbers stand beside it."""
    share = min(done / owed, 1.0) if owed else 0.0
    return tag(
        "svg",
        tag("rect", width="100%", height="100%", rx="3", class_="rest"),
        tag("rect", width=f"{100 * share:.2f}%", height="100%", rx="3", class_="done" if done >= owed else "open")
        if share
        else None,
        aria_hidden="true",
        focusable="false",
    )


def columns(values: Sequence[int], alt: str) -> Html:
    """A column for each value, as high as it is against the greatest.

    Args:
        values: In the order of time.
        alt: What a reader hears of it.
    """
    most, wide = max(values, default=0) or 1, 1000 / max(len(values), 1)
    thick = min(0.8 * wide, 60)
    return tag(
        "svg",
        tag("line", x1=0, y1=100, x2=1000, y2=100, class_="axis", vector_effect="non-scaling-stroke"),
        [
            tag(
                "rect",
                x=f"{number * wide + (wide - thick) / 2:.2f}",
                y=f"{100 - 100 * value / most:.2f}",
                width=f"{thick:.2f}",
                height=f"{100 * value / most:.2f}",
                class_="open",
            )
            for number, value in enumerate(values)
            if value
        ],
        class_="tall",
        viewBox="0 0 1000 100",
        preserveAspectRatio="none",
        role="img",
        aria_label=alt,
    )


def whisker(value: float, low: float | None, high: float | None, *, least: float = 0.0) -> Html:
    """A value up to 1 with its interval; what is below the least lies at the left end. The numbers stand beside it."""

    def at(number: float) -> str:
        return f"{100 * min(max((number - least) / (1 - least), 0.0), 1.0):.1f}%"

    middle = {"y1": "50%", "y2": "50%"}
    return tag(
        "svg",
        tag("line", x1=0, x2="100%", **middle, class_="axis"),
        [
            tag("line", x1=at(end), x2=at(end), y1="20%", y2="80%", class_="axis")
            for end in sorted({least, 0.0, 0.5, 1.0})
        ],
        None if low is None or high is None else tag("line", x1=at(low), x2=at(high), **middle, class_="whisker"),
        tag("circle", cx=at(value), cy="50%", r=5, class_="dot"),
        class_="dots",
        aria_hidden="true",
        focusable="false",
    )


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[int] = ()) -> Html:
    """A table that becomes a card for each row on a phone; the first cell of a row is its head.

    Args:
        caption: Above it, or "".
        heads: Of its columns.
        rows: Cells; None and "" are empty.
        numbers: Places of the columns that stand to the right.
    """
    kinds = ["number" if place in numbers else None for place in range(len(heads))]

    def cell(place: int, value: object) -> Html:
        empty = value is None or value == ""
        if not place:
            return tag("th", value, scope="row")
        return tag("td", value, class_="none" if empty else kinds[place], data_label=heads[place])

    return tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", [tag("th", h, scope="col", class_=kinds[n]) for n, h in enumerate(heads)])),
        tag("tbody", [tag("tr", [cell(n, value) for n, value in enumerate(row)]) for row in rows]),
        class_="cards",
    )


def facts(pairs: Sequence[tuple[str, object]]) -> Html:
    """The few numbers that one looks at first."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs], class_="tiles")


def bars(rows: Sequence[tuple[object, int, int, str]]) -> Html:
    """A line for each group: its name, how much of what is owed is done, and the same in words."""
    return tag(
        "ul",
        [tag("li", tag("span", name), bar(done, owed), tag("span", joined(words))) for name, done, owed, words in rows],
        class_="bars",
    )
