"""Page elements that all tasks share: languages, guidelines, metadata, and texts shown as they were typed."""

from __future__ import annotations

import base64
import difflib
import html
import string
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError
from annotation.tasks.form import Property, Vector
from annotation.text.hidden import show_hidden, without_hidden
from annotation.text.locales import common_language, name_of_language
from annotation.types import Item

LANGUAGES = ("es", "pt", "en")
"""Languages that guidelines and titles are written in."""

OWN = "guidelines"
"""Folder in a project: texts of its own, for a country (AR.md) or a language (gl.md, gl.toml)."""

TABLES = (
    *("page", "ranking", "prompt_check", "exam", "duel", "personas"),
    *("consent", "share", "stereotype", "pair_check", "story", "description", "adjudication"),
)
"""Of a language's .toml there: what its texts stand in the place of."""

MOST_CHARACTERS = 10_000
"""Of guidelines: Argilla takes no more."""

VECTOR = "embedding"
"""Name of the vector that "find similar" uses: the embedding of the item's prompt."""

AUTHOR = "author"
"""Key in an item's content and a record's metadata: the user name of whoever wrote what it is about."""

CONTROL = "control"
"""Key in the content of an item whose answer is known: what was done to it, for example "garbled"."""

TEXTS_OF = "texts"
"""Key in an item's content: candidate id -> text of those answers on it that the ledger has not, since nobody may train
on them."""

PURPOSE = "purpose"
"""Key in the metadata of a record that is no work, by which the embedded server knows it; annotators never see it."""

PICTURE = "picture"
"""Key in an item's content: path of a JPEG or WebP file below the project's folder. And the field that shows it."""

MOST_PICTURE = 5_000_000
"""Characters of a picture as an address of its own content: Argilla takes no more."""

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "country": "País",
        "topic": "Tema",
        "language": "Idioma",
        "position": "Orden",
        "similar": "Preguntas parecidas",
        "author": "Autoría",
        "purpose": "Propósito",
        "entry": "{dataset} – prueba de entrada",
        "own_password": "la que ya tienes en este servidor",
        "sheet": """\
Hola, {name}:

Puedes entrar a «{project}», donde personas de tu país opinan sobre textos o imágenes.

Página:     {url}
Usuario:    {username}
Contraseña: {password}

1. Abre la página en un navegador y entra con ese usuario y esa contraseña.
2. Haz clic en el conjunto de datos de tu equipo y lee las directrices.
3. Responde la primera ficha y envíala: llega la siguiente. Puedes parar y volver cuando quieras.

Con el teclado: {keys}

Si cambiaste la contraseña, vale la nueva, y nadie puede verla. No compartas esta hoja.
¿No se abre la página? Quizá no estés en la red en que funciona: pide a quien coordina la dirección desde fuera.
""",
    },
    "pt": {
        "country": "País",
        "topic": "Tema",
        "language": "Idioma",
        "position": "Ordem",
        "similar": "Perguntas parecidas",
        "author": "Autoria",
        "purpose": "Finalidade",
        "entry": "{dataset} – teste de entrada",
        "own_password": "a que você já tem neste servidor",
        "sheet": """\
Olá, {name}:

Você pode entrar em “{project}”, onde pessoas do seu país opinam sobre textos ou imagens.

Página:  {url}
Usuário: {username}
Senha:   {password}

1. Abra a página num navegador e entre com esse usuário e essa senha.
2. Clique no conjunto de dados da sua equipe e leia as diretrizes (Guidelines).
3. Responda a primeira ficha e envie (Submit): a seguinte aparece. Você pode parar e voltar quando quiser.

Com o teclado: {keys}

Se você mudou a senha, vale a nova, e ninguém pode vê-la. Não compartilhe esta folha.
A página não abre? Talvez você não esteja na rede em que ela funciona: peça a quem coordena o endereço de fora.
""",
    },
    "en": {
        "country": "Country",
        "topic": "Topic",
        "language": "Language",
        "position": "Position",
        "similar": "Similar questions",
        "author": "Author",
        "purpose": "Purpose",
        "entry": "{dataset} – entry test",
        "own_password": "the one that you have on this server",
        "sheet": """\
Hello {name},

You can log in to "{project}", where people of your country judge texts or pictures.

Page:      {url}
User name: {username}
Password:  {password}

1. Open the page in a browser and log in with this user name and password.
2. Click your team's dataset and read the guidelines.
3. Answer the first record and submit it: the next one comes. You can stop and come back at any time.

With the keyboard: {keys}

If you changed the password, the new one counts, and nobody can see it. Keep this sheet to yourself.
The page does not open? You may not be in the network where it works: ask your team lead for the address from outside.
""",
    },
}
"""Titles of what every record carries, and the sheet with a log-in, by language."""


def own_texts(folder: Path) -> dict[str, str]:
    """Texts of a project's own: their path below its folder OWN -> what they say.

    Raises:
        SettingsError: One cannot be read, or is too long for Argilla.
    """
    found = {}
    for path in sorted((folder / OWN).rglob("*")):
        if path.suffix not in (".md", ".toml") or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8-sig").strip()
        except UnicodeDecodeError:
            raise SettingsError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
        if path.suffix == ".md" and not 0 < len(text) <= MOST_CHARACTERS:
            raise SettingsError(
                f"{path} has {len(text)} characters, and guidelines must have 1 to {MOST_CHARACTERS}; write them, or "
                "shorten the file."
            )
        found[path.relative_to(folder / OWN).as_posix()] = text
    return found


@dataclass(frozen=True, slots=True)
class TeamPage:
    """What a team reads: annot's texts, or in their place those of its project.

    Attributes:
        language: ISO 639.
        country: ISO 3166; "" for no country.
        own: From `own_texts`.
    """

    language: str
    country: str = ""
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The language of annot's texts for the team, one of LANGUAGES."""
        return self.language if self.language in LANGUAGES else common_language(self.country)

    @property
    def toml(self) -> str:
        """Where the project's short texts for the language stand, or would."""
        return f"{OWN}/{self.language}.toml"

    def guidelines_file(self, folder: str) -> str:
        """Name of the project's guidelines for the team: the country's, else the language's; "" for neither."""
        names = (f"{folder}{self.country}.md", f"{folder}{self.language}.md")
        return next((name for name in names if name in self.own), "")

    def guidelines(self, package: str, *, folder: str = "", keys: str = "") -> str:
        """A task's guidelines: the project's, which stand in a folder below OWN, or annot's, which tell the keys."""
        name = self.guidelines_file(folder)
        return self.own[name] if name else read_guidelines(package, self.base, self.country).replace("{keys}", keys)

    def texts(self, table: str, ours: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
        """Titles and other short texts: annot's, by language, with the project's in their place.

        Raises:
            SettingsError: The project's cannot stand there.
        """
        theirs, texts = self._own_tables().get(table, {}), ours[self.base]
        place = f"{self.toml}: {table}"
        for key, text in theirs.items():
            if key not in texts:
                near = difflib.get_close_matches(key, texts, n=1)
                raise SettingsError(f"{place} has no text {key!r}; {_remedy(near, texts)}")
            if not isinstance(text, str) or not text.strip() or not _blanks(text) <= _blanks(texts[key]):
                blanks = ", ".join(f"{{{name}}}" for name in sorted(_blanks(texts[key]))) or "none"
                raise SettingsError(f"{place}.{key} must be text in quotes, and in braces may stand: {blanks}.")
        return {**texts, **theirs}

    def names(self, named: str, table: str, ours: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
        """What a task's dataset may be called: as annot.toml names it, or in the team's language, then any other."""
        every = [self.texts(table, ours)["dataset"], *(texts["dataset"] for texts in ours.values())]
        return (named,) if named else tuple(dict.fromkeys(every))

    def fallback(self) -> str:
        """A sentence where the team's language lacks texts, with the files that would change it; else ""."""
        there = {
            f"{OWN}/{self.language}.md": bool(self.guidelines_file("")),
            self.toml: any(self._own_tables().values()),
        }
        wanted = " and ".join(name for name, written in there.items() if not written)
        if self.language in LANGUAGES or not wanted:
            return ""
        return (
            f"annot has no texts in {name_of_language(self.language)}, so {name_of_language(self.base)} stands in "
            f"their place; to change that, put texts into {wanted}"
        )

    def _own_tables(self) -> Mapping[str, Any]:
        try:
            tables = tomllib.loads(self.own.get(f"{self.language}.toml", ""))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{self.toml} is no valid TOML: {error}; mend that line.") from None
        for table, texts in tables.items():
            if table not in TABLES or not isinstance(texts, Mapping):
                near = difflib.get_close_matches(table, TABLES, n=1)
                raise SettingsError(f"{self.toml} has no table {table!r}; {_remedy(near, TABLES)}")
        return tables


def _remedy(near: list[str], known: Collection[str]) -> str:
    return f'did you mean "{near[0]}"?' if near else f"there are {', '.join(known)}."


def _blanks(text: str) -> set[str]:
    """What stands in braces in a text, to be filled in."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return {text}  # a brace that is never closed


def read_guidelines(package: str, language: str, country: str = "") -> str:
    """A task's guidelines in one of LANGUAGES, Markdown, from beside its module, with a country's example in them."""
    folder = files(package).joinpath("guidelines")
    text = folder.joinpath(f"{language}.md").read_text(encoding="utf-8").strip()
    if "{example}" in text:
        examples = tomllib.loads(folder.joinpath("examples.toml").read_text(encoding="utf-8"))
        text = text.replace("{example}", examples.get(f"{language}-{country}", examples[language]).strip())
    return text


def properties(page: TeamPage, name: str, title: str, *, authors: bool = False) -> tuple[Property, ...]:
    """Metadata of every record.

    Args:
        page: What the team reads.
        name: What the task calls an item.
        title: The same on the page.
        authors: Items may have an author on the team. The embedded server asks nobody about their own.
    """
    say = page.texts("page", TEXTS)
    return (
        *([Property(AUTHOR, "terms", say[AUTHOR], visible=False)] if authors else []),
        Property("topic", "terms", say["topic"], visible=True),
        Property("country", "terms", say["country"], visible=True),
        Property("language", "terms", say["language"], visible=True),
        Property(name, "terms", title, visible=False),
        Property("position", "integer", say["position"], visible=False),
        Property(PURPOSE, "terms", say[PURPOSE], visible=False),
    )


def vector_of(page: TeamPage, dimensions: int | None) -> Vector | None:
    """The vector of "find similar"; None without dimensions."""
    return Vector(VECTOR, page.texts("page", TEXTS)["similar"], dimensions) if dimensions else None


def record_of(item: Item, name: str, fields: Mapping[str, Any], vector: Collection[float] | None) -> dict[str, Any]:
    """A record as Argilla's REST takes it, with the metadata of `properties`."""
    made: dict[str, Any] = {
        "external_id": item.id,
        "fields": dict(fields),
        "metadata": {
            "topic": as_typed(item.topic),
            "country": item.country,
            "language": item.language,
            name: item.id,
            "position": item.position,
        },
    }
    if item.purpose != "work":
        made["metadata"][PURPOSE] = item.purpose
    if author := item.content.get(AUTHOR):
        made["metadata"][AUTHOR] = author
    if vector is not None:
        made["vectors"] = {VECTOR: [float(value) for value in vector]}
    return made


def picture_of(item: Item, folder: Path | None) -> dict[str, str]:
    """The field with an item's picture; none where it has none, or where none of a size that fits is in its file."""
    if folder is None or not item.content.get(PICTURE):
        return {}
    try:
        with (folder / item.content[PICTURE]).open("rb") as file:
            content = file.read(MOST_PICTURE)
    except OSError:
        return {}
    picture = f"data:{_kind(content)};base64,{base64.b64encode(content).decode()}"
    return {PICTURE: picture} if _kind(content) and len(picture) <= MOST_PICTURE else {}


def _kind(content: bytes) -> str:
    """The MIME type of a file that a browser shows without running anything in it; "" of any other."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else ""


def as_typed(text: str) -> str:
    """Text that the page shows as it was typed.

    Argilla 2.8 puts the text of a field that is not Markdown into the page as HTML, unchecked (and as Markdown it
    would load remote pictures): a candidate with `<img onerror=…>` in it would run in every annotator's browser. And
    what would not be seen, or would turn the order of letters around, is written out.
    """
    return html.escape(show_hidden(text), quote=False)


def as_written(text: str) -> str:
    """The opposite of `as_typed`, but that hidden characters go: the page's copy button hands out what was sent."""
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return without_hidden(plain, written_out=True)
