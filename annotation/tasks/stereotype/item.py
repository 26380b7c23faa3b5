"""An association that the people of a country are asked about, as an item of the task, and back."""

from __future__ import annotations

from dataclasses import fields

from annotation.types import Association, Item, content_id

NAME = "stereotype"

OTHER = "other"
"""Topic of an association whose target country is not known."""

_KEPT = tuple(field.name for field in fields(Association) if field.name != "language")


def item_id(association: str, country: str) -> str:
    """Id of the item that asks the people of a country about an association, by its id."""
    return content_id(NAME, association, country)


def item_of(association: Association, country: str, position: int) -> Item:
    """An association as the item of one country; who shared it (`annotation.tasks.page.AUTHOR`) is not asked about it.

    Args:
        association: All of it but its language, which the item has, stands in the content.
        country: Whose people are asked, ISO 3166-1 alpha-2.
        position: Place in the order of annotation.
    """
    content = {name: getattr(association, name) for name in _KEPT}
    if not association.author:
        del content["author"]
    topic = association.target or OTHER
    return Item(item_id(association.id, country), NAME, position, country, association.language, topic, content)


def association_of(item: Item) -> Association:
    """The inverse of `item_of`: the association that an item asks about."""
    return Association(language=item.language, **item.content)
