"""Identity and bank numbers are masked, however they are written; what only looks like one stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.text.identity import BANK, ID
from annotation.text.privacy import mask

FORMS = {
    "CURP": ("CIQR650102HNLLPR02", "VAWY740719HDFCCS01", "XEPR620125MJCDBS01", "CILS560112HJCGSG05"),
    "RFC": ("GOVF840213T7X", "GAPV510220D3J", "RPT53042160D", "JJJ71091886T"),
    "CPF": ("040.754.572-73", "986.505.939-84", "387.053.124-00", "02643264150"),
    "CNPJ": ("48.150.214/0001-70", "08.952.780/0001-81", "34.220.203/0001-05", "16699286000185"),
    "RG": ("12.345.678-9", "48.213.907-X", "27.118.563-2", "7.654.321-0"),
    "DNI": ("32014686C", "02050761-N", "17607765T", "88904775 T"),
    "NIE": ("Z8448793R", "Z-4141286-A", "Z8568098M", "Z7394005Q"),
    "NIF": ("A41427600", "G-79588885", "G12298907", "B23726169"),
    "RUT": ("23.204.280-K", "15.174.452-4", "19537330-2", "13556325-0"),
    "CUIT": ("20-57300255-6", "20-89414247-3", "20-71729528-6", "27057653889"),
    "RUC": ("10333535845", "20490504746", "10709241201", "1746516572001"),
    "cédula dominicana": ("496-4868994-8", "249-6981109-0"),
    "NIT": ("934.351.631-1", "996.935.650-4", "952.542.832-0", "943.049.352-0"),
    "cartão de cidadão": ("57686618 4 WV9", "32882064 3 UW5", "920923828LP5", "516210671NG3"),
    "CLABE": ("002483757891629005", "012847303883139127", "072009938041172276", "044 609 97984340278 0"),
    "CBU": ("9548042850630561024709", "3793186509050074925049", "1177552287665736780151"),
    "IBAN": (
        "ES31 2883 5654 9270 7655 9710",
        "PT76542784981120589675944",
        "ES4446899793390475753409",
        "BR18 2159 7123 3733 6361 5304 338P 1",
    ),
    "tarjeta": ("4313 1463 6535 8634", "5042655614333094", "3767 329925 06562", "4459-4688-9817-4526"),
}
"""Made-up numbers with the right check digits, as people write them: found wherever they stand."""

NAMED = (
    "Mi DNI es 45678912, anótalo.",
    "con DNI N° 27.418.905 de Rosario",
    "DNI: 40123987",
    "Cédula de ciudadanía No. 1032456789",
    "C.C. 52.456.781 de Bogotá",
    "cédula 1727077826",
    "mi cédula es 4.567.890",
    "C.I. 3456789 SC",
    "Minha identidade é 3456789 SSP",
    "meu RG é 347815629",
    "NIF 123456789",
    "contribuinte n.º 234567891",
    "pasaporte G12345678",
    "Passaporte: FX123456",
    "Pasaporte N° AAB123456",
    "título de eleitor 123456780191",
    "CNH 01234567891",
    "NSS: 12345678903",
    "mi número de seguro social es 12345678903",
    "DUI 01234567-8",
    "DPI 1234 56789 0101",
    "identidad 0801-1990-12345",
    "cédula 1-1234-5678",
    "cédula 001-010190-0001A",
    "soy V-12.345.678",
    "J-30123456-7",
    "clave de elector GMVLMR80070501M100",
    "documento de identidad 12345678",
    "Deposita a la cuenta 1234567890 de Bancomer",
    "número de cuenta: 00123456789",
    "conta corrente 12345678-9",
    "conta poupança nº 0012345678",
    "tarjeta 5123456789012",
    "número do cartão: 1234567812345678",
    "cuenta de ahorros 123-456789-01",
    "RUC N.° 20100047218",
    "carné de identidad 85010112345",
    "CUIL 27-05765388-9",
    "run 12.345.678-5",
    "Mi CURP: ciqr650102hnllpr02",
)

SENTENCES = ("Es de mi primo: {}.", "({}) ya lo di", "Pode anotar {} aí?")

HARMLESS = (
    "Tengo 600 700 800 razones",
    "Tenho 100 200 300 motivos",
    "Viven 1.234.567 habitantes",
    "Viven 1 234 567 personas allí",
    "La población era de 12.345.678 en 2020",
    "São 211 755 692 habitantes",
    "El censo contó 126014024 habitantes",
    "México cuenta 126.014.024 habitantes",
    "O Brasil conta com 203.080.756 habitantes",
    "La ciudad cuenta con 1.500.000 árboles",
    "Cuesta $12,500,000",
    "Costó 25.000.000 de pesos",
    "R$ 1.234.567,89",
    "US$ 22345678",
    "€ 1.250.000",
    "S/ 61234567",
    "El premio fue de 10000000 de guaraníes",
    "Ganó 350 000 000 de bolívares",
    "Gastou 150000 reais",
    "unos 250000 quetzales",
    "Entre 1810-1821 y 2010-2020",
    "de 1985 a 2017, 1492 y 1810",
    "2019-2020-2021-2022",
    "El 12/10/1492",
    "2024-05-06 10:30",
    "15.09.1810",
    "20240506",
    "20240506T103000",
    "12-10-1492 al 15-09-1810",
    "07/09/1822, 15/11/1889",
    "a las 10:30:45.123",
    "10:30-12:45, 14:00-16:00",
    "ISBN 978-607-16-0000-0",
    "ISBN 9786071600004",
    "ISSN 1234-5679",
    "EAN 7501234567893",
    "Ley 1448 de 2011",
    "Ley N° 27.360 de 2017",
    "Decreto 4.887/2003",
    "Lei nº 10.639/2003",
    "Lei 11.645/2008",
    "Resolución 000123-2019",
    "Artículo 123, fracción 456, página 7890",
    "Expediente 12345/2019",
    "Av. 9 de Julio 1925, piso 12",
    "Calle 26 # 13-19, Bogotá",
    "Carrera 7 No. 71-21 torre B oficina 1204",
    "Rua 25 de Março, 1000",
    "CEP 01310-100",
    "C.P. 06600",
    "código postal 28013",
    "Ruta 40, kilómetro 2345",
    "BR-101, km 123456",
    "-12.0463731, -77.042754",
    "19.4326077, -99.133208",
    "latitud -34.603722",
    "0.1 + 0.2 = 0.30000000000000004",
    "π = 3.14159265358979",
    "1,618033988",
    "6,022 × 10²³",
    "3 × 10^8 m/s",
    "299792458 m/s",
    "299.792.458 metros por segundo",
    "2 tazas, 1 1/2 cucharadas, 250 ml, 180 °C, 350 °F",
    "500 g de harina, 250 g de azúcar, 4 huevos, 100 ml",
    "1 kg 500 g",
    "45 min a 180-200 °C",
    "Receta para 4-6 personas, 30-45 min",
    "1. agua 2. sal 3. maíz 4. cal 5. fuego 6. metate 7. comal",
    "Marcador: 4-3, 2-1, 0-0, 5-4",
    "7-1 en 2014, 1-2 en 1950",
    "Sorteo 04 12 23 31 38 45",
    "los números 1 2 3 4 5 6 7 8 9 10",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
    "2 4 8 16 32 64 128 256 512 1024",
    "1 1 2 3 5 8 13 21 34 55 89",
    "100 200 300",
    "500, 600, 700, 800 pesos",
    "10 000 km²",
    "8.515.767 km²",
    "1.964.375 km2",
    "1 285 216 kilómetros cuadrados",
    "6.961 m, 5.636 m y 4.090 m de altura",
    "6961 metros, 22838 pies",
    "384.400 km",
    "12756 km de diámetro",
    "-89.2 °C, 56.7 °C",
    "El 98,6 % de 1.234.567",
    "un 45.678901 %",
    "versión 10.15.7.1234",
    "Windows 10.0.19045.2364",
    "192.168.100.200",
    "#FF5733 y #00AAFF",
    "0xDEADBEEF",
    "SHA 9f86d081884c7d65",
    "Vuelo AM 0456, asiento 12A",
    "Placa ABC-123-4",
    "placa ABC1D23",
    "Modelo X200-4500",
    "Canal 123, 45.678 suscriptores",
    "1.2M de vistas, 345678 me gusta",
    "345678 likes, 1234567 vistas",
    "Salmo 119:105-112; Juan 3:16",
    "Génesis 1:1-31, Éxodo 20:1-17",
    "Capítulo 12, versículo 34, línea 5678",
    "Se juntaron 40.000 voces",
    "unas 100000 personas marcharon",
    "Cem mil (100.000) pessoas",
    "1.000.000.000 de razones",
    "un millón 234 mil 567",
    "3.000 años a. C. y 1.500 d. C.",
    "hace 13.800.000.000 años",
    "hace 65 000 000 años",
    "66.000.000 anos atrás",
    "La guerra de 1864-1870 y la de 1932-1935",
    "El 68, el 71 y el 85",
    "Generación del 27, 98 y 14",
    "24 x 7 x 365",
    "4 x 100, 4 x 400",
    "1920 x 1080, 3840 x 2160",
    "16:9, 4:3, 21:9",
    "10/10, 9/10, 8/10",
    "1/2, 3/4, 7/8, 15/16",
    "911, 066, 089, 800",
    "marca 112 o 061",
    "disque 190, 192 ou 193",
    "Serie A 2023-2024, fecha 12",
    "Copa 1930 1950 1986 2014",
    "goles: 91 en 2012, 73 en 2011",
    "talla 38-40-42",
    "zapatos 36, 37, 38, 39, 40",
    "Sus 250.000 hectáreas",
    "12345 hectáreas, 67890 toneladas",
    "123456 toneladas de soya",
    "produce 2.345.678 sacos de café",
    "exportó 45.678.901 kilos",
    "1 234 567,89 litros",
    "voltaje 110-220 V, 50-60 Hz",
    "frecuencia 101.5, 98.9 y 1060",
    "440 Hz, 880 Hz, 1760 Hz",
    "0,5 l; 0,75 l; 1,5 l",
    "E=mc2, H2O, CO2, C6H12O6",
    "B12, B6, D3, K2, Omega 3 6 9",
    "Apolo 11, 20 de julio de 1969, 20:17:40",
    "Línea 12, estación 345, andén 6",
    "La cuenta fue de 1.250.000",
    "A conta deu 350.000",
    "una tarjeta de 10.000.000 de pesos",
    "el documento tiene 1234 páginas",
    "Pi (3.1415926) y e (2.7182818)",
    "fueron 12.345 a 67.890 asistentes",
)


def test_the_tables_are_long_enough_to_say_something() -> None:
    assert sum(map(len, FORMS.values())) * len(SENTENCES) + len(NAMED) >= 150
    assert len(set(HARMLESS)) >= 150


@pytest.mark.parametrize("kind", FORMS)
def test_a_number_with_the_right_check_digits_is_masked_wherever_it_stands(kind: str) -> None:
    for number in FORMS[kind]:
        for sentence in SENTENCES:
            masked, counts = mask(sentence.format(number), "MX")
            assert not any(map(str.isdigit, masked)), number
            token = BANK if kind in ("CLABE", "CBU", "IBAN", "tarjeta") else ID
            assert (masked, counts) == (sentence.format(token), {token: 1})


@pytest.mark.parametrize("text", NAMED)
def test_a_number_that_the_text_names_is_masked(text: str) -> None:
    masked, counts = mask(text, "MX")
    assert not any(map(str.isdigit, masked))
    assert counts[ID] + counts[BANK] == 1


@pytest.mark.parametrize("region", ["MX", "ES", "BR"])
def test_of_what_only_looks_like_a_number_of_somebody_at_most_three_in_a_hundred_go(region: str) -> None:
    alarms = {text: masked for text in HARMLESS if (masked := mask(text, region)[0]) != text}
    assert len(alarms) <= 0.03 * len(HARMLESS), alarms


@given(st.text(alphabet="ABXYZ0123456789.-/ áñ:", max_size=60))
def test_masking_numbers_twice_changes_nothing(text: str) -> None:
    once = mask(text, "MX")[0]
    assert mask(once, "MX")[0] == once


@pytest.mark.parametrize(
    "piece",
    ["1", "1.", "1 ", "A1", "dni ", "dni de ", "cuenta 1 ", "ES12 ", "12.345.", "V-1", "AAAA1", "040.754.572-73 "],
)
def test_the_time_is_linear_in_the_length(piece: str) -> None:
    """A quadratic pattern would need hours for a million characters; the test's own limit is minutes."""
    mask(piece * (1_000_000 // len(piece)), "MX")
