"""What leads to a person is masked; what only looks like it stays."""

import string

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annotation.text.privacy import EMAIL, PHONE, USER, looks_like_account, mask, mask_typed
from annotation.types import Person

REGIONS = (
    "AR",
    "BO",
    "BR",
    "CL",
    "CO",
    "CR",
    "CU",
    "DO",
    "EC",
    "ES",
    "GT",
    "HN",
    "MX",
    "NI",
    "PA",
    "PE",
    "PT",
    "PY",
    "SV",
)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Escríbeme a persona.una+x@correo.com.mx.", f"Escríbeme a {EMAIL}."),
        ("<a@x.com>,b_2@uni-x.edu;áé@correo.mx", f"<{EMAIL}>,{EMAIL};{EMAIL}"),
        ("o'mar.azul@uchile.cl", EMAIL),
        ("sol @ gmail.com", EMAIL),
        ("sol＠gmail.com", EMAIL),
        ("sol (arroba) gmail (punto) com", EMAIL),
        ("sol arroba gmail punto com", EMAIL),
        ("nuvem [at] uol [dot] com [dot] br", EMAIL),
        ("@nube@mastodon.social", EMAIL),
        ("mailto:nube@x.org?subject=hola", f"mailto:{EMAIL}?subject=hola"),
        ("Sígueme: @persona_una, @nube.mx y @mar-azul99.", f"Sígueme: {USER}, {USER} y {USER}."),
        ("(@3amigos)", f"({USER})"),
        ("instagram.com/personauna y https://x.com/nube_92", f"instagram.com/{USER} y https://x.com/{USER}"),
        ("https://medium.com/@sol/nota", f"https://medium.com/{USER}/nota"),
        ("https://wa.me/5215512345678", f"https://wa.me/{PHONE}"),
        ("Tel. 5555-1234", f"Tel. {PHONE}"),
        ("llámame al 555-12-34 ya", f"llámame al {PHONE} ya"),
        ("mi teléfono es el 555 1234", f"mi teléfono es el {PHONE}"),
        ("+52 1 55 1234 5678 / 044 55 1234 5678", f"{PHONE} / {PHONE}"),
        ("mi cel 55 1234 5678 ok", f"mi cel {PHONE} ok"),
        ("(55) 1234-5678", PHONE),
    ],
)
def test_what_leads_to_a_person_is_masked(text: str, masked: str) -> None:
    assert mask(text, "MX")[0] == masked


ACCOUNTS = (
    "https://www.facebook.com/profile.php?id=100012345678901",
    "facebook.com/profile.php?id=61550000000001&sk=about",
    "https://m.facebook.com/profile.php?v=info&id=100012345678901",
    "https://www.facebook.com/people/Sol-Mar/100012345678901/",
    "https://www.facebook.com/100012345678901",
    "https://facebook.com/sol.mar.9",
    "https://fb.me/sol.mar",
    "https://fb.com/sol.mar",
    "https://m.me/sol.mar",
    "https://www.instagram.com/stories/sol.mar/31234567890/",
    "instagram.com/_u/sol.mar",
    "https://twitter.com/intent/user?user_id=123456789",
    "https://x.com/i/user/1234567890",
    "https://mobile.twitter.com/solmar",
    "https://www.youtube.com/channel/UC1234567890abcdefABCD_-",
    "https://www.youtube.com/user/solmar",
    "https://www.youtube.com/c/SolMar",
    "https://www.linkedin.com/in/sol-mar-1a2b3c",
    "https://linkedin.com/pub/sol-mar/1/2a/3b",
    "https://vk.com/id123456789",
    "https://ok.ru/profile/571234567890",
    "https://discord.com/users/123456789012345678",
    "https://steamcommunity.com/profiles/76561198000000001",
    "https://steamcommunity.com/id/solmar",
    "https://www.snapchat.com/add/solmar",
    "https://www.pinterest.com/solmar/",
    "https://www.twitch.tv/solmar",
    "https://soundcloud.com/sol-mar",
    "https://open.spotify.com/user/31abcdefg",
    "https://bsky.app/profile/solmar.bsky.social",
    "https://www.strava.com/athletes/1234567",
    "http://lattes.cnpq.br/1234567890123456",
    "https://orcid.org/0000-0002-1825-0097",
    "https://www.tiktok.com/@sol.mar",
    "https://t.me/solmar",
    "https://telegram.me/solmar",
    "https://gitlab.com/solmar",
    "https://www.reddit.com/user/solmar",
    "https://www.kwai.com/@solmar",
    "https://medium.com/@solmar",
    "tg://user?id=123456789",
    "https://www.couchsurfing.com/people/solmar",
    "https://scholar.google.com/citations?user=AbCdEfGAAAAJ&hl=es",
)


@pytest.mark.parametrize("address", ACCOUNTS)
def test_an_account_of_a_social_network_is_masked_by_name_and_by_number(address: str) -> None:
    masked, counts = mask(address, "MX")
    assert counts == {USER: 1}
    assert not any(char in masked for char in "0123456789")
    assert "sol" not in masked.lower().removeprefix("https://soundcloud.com")
    assert mask(masked, "MX") == (masked, {})


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize(
    "text",
    [
        "Entre 1810-1821 y 2010-2020, y en 1985 2017.",
        "Cuesta $12,500,000 o 25.000.000 pesos, US$ 22345678, R$ 87654321, S/ 61234567.",
        "Viven 22345678 habitantes, 8.765.432 personas y 61234567 pessoas.",
        "El 12/10/1492, 2024-05-06 10:30, 15.09.1810.",
        "2 tazas @ 100 g, @100g, @ 20 pesos, 1 1/2 taza, 250 ml, 180 °C.",
        "Tod@s l@s niñ@s y amig@s. tod@s.Gracias",
        "Una arroba de café son 11.5 kg. Compra una arroba de papa. Gracias.",
        "Ve a www.gob.mx/tramites, página 1234 de 5678; km/h; y/o; /u.",
        "0.1 + 0.2 = 0.30000000000000004 y π = 3.14159265358979",
        "ISBN 978-607-16-0000-0",
        "¿A qué hora (at) abre el mercado?",
        "youtube.com/watch?v=dQw4w9WgXcQ youtube.com/shorts/abcdefghijk facebook.com/groups/recetas x.com/i/events/1",
        "linkedin.com/company/acme linkedin.com/pulse/arroz open.spotify.com/track/4cOdK2wG reddit.com/r/mexico",
    ],
)
def test_years_prices_dates_recipes_and_inclusive_spanish_stay(text: str, region: str) -> None:
    assert mask(text, region) == (text, {})


def test_the_user_names_of_a_row_are_masked_as_words() -> None:
    text = "Soy nube_92 (Flor Azul) y como pan de nube_925."
    masked, counts = mask(text, "MX", ["nube_92", "Flor Azul"])
    assert masked == f"Soy {USER} ({USER}) y como pan de nube_925."
    assert counts == {USER: 2}


def test_only_what_can_be_no_ordinary_word_counts_as_a_user_name() -> None:
    assert [
        n for n in ("nube_92", "Flor Azul", "m.azul", "Flor", "x1", "", "1234", "12/34") if looks_like_account(n)
    ] == [
        "nube_92",
        "Flor Azul",
        "m.azul",
    ]


TEAM = (
    Person("mx_ana", "Ana López García", "annotator", "MX", ("es",)),
    Person("rosa", "Rosa Flores", "annotator", "MX", ("es",)),
    Person("jperezm", "José Pérez de la Cruz", "annotator", "MX", ("es",)),
    Person("mar", "Mar", "annotator", "ES", ("es",)),
    Person("joao.silva", "João da Silva", "admin", "BR", ("pt",)),
)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Lo escribió Ana López.", f"Lo escribió {USER}."),
        ("ANA LOPEZ GARCIA y ana garcía", f"{USER} y {USER}"),
        ("Preguntar a mx_ana, MX_Ana o @mx_ana", f"Preguntar a {USER}, {USER} o {USER}"),
        ("López García, Ana lo sabe", f"{USER} lo sabe"),
        ("firmado: rosa flores", f"firmado: {USER}"),
        ("Rosa dijo que la rosa del mar es rosa", f"{USER} dijo que la rosa del mar es rosa"),
        ("Santa Rosa de Lima, las rosas y el mar", "Santa Rosa de Lima, las rosas y el mar"),
        ("Mar lo vio; ese mar no", f"{USER} lo vio; ese mar no"),
        ("ana y la señora López; José y María", "ana y la señora López; José y María"),
        ("jose perez de la cruz, JPerezM", f"{USER}, {USER}"),
        ("fale com Joao da Silva (joao.silva)", f"fale com {USER} ({USER})"),
        ("A Silva da Mata e o João", "A Silva da Mata e o João"),
        ("mx_anabel y jperezmo son otros", "mx_anabel y jperezmo son otros"),
        ("Jose\u0301 Pe\u0301rez", USER),
        ("J. Pérez, A. L. García y José-Pérez; mx-ana", f"{USER}, {USER} y {USER}; {USER}"),
        ("San José Pérez", "San José Pérez"),
    ],
)
def test_names_and_user_names_of_the_team_are_masked_in_what_people_type(text: str, masked: str) -> None:
    assert mask_typed(text, "MX", TEAM) == masked
    assert mask_typed(masked, "MX", TEAM) == masked


def test_without_a_team_what_people_type_is_masked_as_any_text() -> None:
    assert mask_typed("Ana López, a@b.com", "MX", ()) == f"Ana López, {EMAIL}"


def test_counts_are_by_kind() -> None:
    assert mask("a@b.com, c@d.com, @sol, +52 55 1234 5678", "MX")[1] == {EMAIL: 2, USER: 1, PHONE: 1}


prose = st.text(alphabet="abcñáé ,.¿?¡!()\n", max_size=30)
names = st.text(alphabet=string.ascii_lowercase + string.digits, min_size=2, max_size=12)
addresses = st.builds(
    lambda who, dot, more, host, end: f"{who}{dot}{more}@{host}.{end}",
    names,
    st.sampled_from(".-_+"),
    names,
    names,
    st.sampled_from(["com", "mx", "com.br", "org", "es", "edu.pe"]),
)


@given(before=prose, address=addresses, after=prose)
def test_no_address_survives_in_any_text(before: str, address: str, after: str) -> None:
    masked, counts = mask(f"{before} {address} {after}", "MX")
    assert address not in masked
    assert address.split("@")[0] not in masked or address.split("@")[0] in before + after
    assert counts[EMAIL] == 1


@st.composite
def phones(draw: st.DrawFn) -> tuple[str, str]:
    """A number of a country as people there write it."""
    region = draw(st.sampled_from(REGIONS))
    kind = draw(st.sampled_from([phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]))
    number = phonenumbers.example_number_for_type(region, kind)
    assert number is not None
    digits = str(number.national_number)
    varied = digits[:-3] + draw(st.text(alphabet="123456789", min_size=3, max_size=3))
    number = phonenumbers.parse(varied, region)
    if not phonenumbers.is_valid_number(number):
        number = phonenumbers.parse(digits, region)
    style = draw(st.sampled_from(["NATIONAL", "INTERNATIONAL", "E164"]))
    return region, phonenumbers.format_number(number, getattr(phonenumbers.PhoneNumberFormat, style))


@settings(max_examples=300)
@given(
    before=st.text(alphabet="abcñ ,.¿?", max_size=20), phone=phones(), after=st.text(alphabet="abcñ ,.¿?", max_size=20)
)
def test_no_phone_number_survives_in_any_text(before: str, phone: tuple[str, str], after: str) -> None:
    region, number = phone
    masked, counts = mask(f"{before}: {number}, {after}", region)
    assert counts.total() == 1  # "cc. 11 ..." may be an identity number as well
    assert not any(map(str.isdigit, masked))


@given(
    st.lists(
        st.one_of(prose, addresses, phones().map(lambda phone: phone[1]), names.map("@{}".format), st.text(max_size=20))
    ).map(" ".join),
    st.sampled_from(REGIONS),
)
@example("1 1120000000 (11900000000", "BR")
def test_masking_twice_changes_nothing(text: str, region: str) -> None:
    once = mask(text, region)[0]
    assert mask(once, region)[0] == once


@given(st.text(alphabet=string.ascii_letters + "áéíóúñ¿?¡!,.;:()\n ", max_size=200), st.sampled_from(REGIONS))
def test_words_without_digits_and_at_signs_stay(text: str, region: str) -> None:
    if " arroba " not in text and "at)" not in text:
        assert mask(text, region) == (text, {})


@pytest.mark.parametrize(
    "piece",
    ["a", "a.@", "@", "1 ", "+1 ", "tel ", "tel 1 1 1 ", "a arroba ", "a.b@c.", "(at)", "-", "x.com/", "/u/", "0"],
)
def test_the_time_is_linear_in_the_length(piece: str) -> None:
    """A quadratic pattern would need hours for two million characters; the test's own limit is minutes."""
    mask(piece * (2_000_000 // len(piece)), "MX")
