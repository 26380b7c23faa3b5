"""Everything that annot needs has a licence that goes with its own, Apache-2.0."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from annotation.hosting.environment import ensure_environment

ROOT = Path(__file__).parent.parent
SERVER = ROOT / "annotation" / "server" / "requirements.txt"

FITTING = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
}
"""What may be used without further thought. MPL-2.0 binds its own files only, and we change none of them."""

SPELLINGS = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
    # pypdfium2; PDFium itself is under BSD-3-Clause and Apache-2.0.
    "BSD-3-Clause, Apache-2.0, dependency licenses": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""How packages without an SPDX expression write theirs."""

OURS = {
    # Encodings of texts, and HTML from Python: lm-evaluation-harness has its tables written with them. Likewise both.
    "chardet": "GNU Lesser General Public License v2 or later (LGPLv2+)",
    "dominate": "GNU Lesser General Public License v3 (LGPLv3)",
    # Names of countries. Imported as it is and replaceable, which is what the LGPL asks of those who use a library.
    "pycountry": "LGPL-2.1-only",
    # Check digits of identity and bank numbers. Likewise.
    "python-stdnum": "GNU Lesser General Public License v2 or later (LGPLv2+)",
}
"""What was thought about: package -> its licence. A name that is not here, or another licence, fails."""

ARGILLAS = {
    # Argilla's driver for PostgreSQL, in an environment of its own; imported as it is and replaceable.
    "psycopg2-binary": "GNU Library or Lesser General Public License (LGPL)",
}
"""The same for the embedded Argilla."""


OF_A_GPU = ("nvidia-", "cuda-")
"""What torch brings along where there is a GPU: NVIDIA's, under terms of its own, on some machines only."""


def licence_of(package: Distribution) -> str:
    """An SPDX expression where the package's own words are one or stand for one; else these words."""
    if expression := package.metadata["License-Expression"]:
        return str(expression)
    stated = (package.metadata["License"] or "").strip()
    if fits(SPELLINGS.get(stated, stated)):
        return SPELLINGS.get(stated, stated)
    classifiers = package.metadata.get_all("Classifier") or []
    named = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: OSI Approved :: ")]
    first = stated.partition("\n")[0]
    return " AND ".join(SPELLINGS.get(name, name) for name in named) or SPELLINGS.get(first, first)


def fits(expression: str) -> bool:
    parts = re.sub("[()]", "", expression).split(" AND ")
    return all(any(one in FITTING for one in part.split(" OR ")) for part in parts)


def installed(*folders: str) -> dict[str, Distribution]:
    found = distributions(path=list(folders)) if folders else distributions()
    return {canonicalize_name(package.metadata["Name"]): package for package in found}


def needed(wanted: Iterable[Requirement], here: Mapping[str, Distribution]) -> tuple[dict[str, Distribution], set[str]]:
    """What these requirements come to on this machine, and the names that are not installed."""
    found, missing, seen, left = dict[str, Distribution](), set[str](), set[tuple[str, str]](), list(wanted)
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        if name not in here:
            missing.add(name)
            continue
        found[name] = here[name]
        for extra in {"", *one.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            below = [Requirement(line) for line in here[name].requires or []]
            if name == "torch":
                below = [needs for needs in below if not needs.name.startswith(OF_A_GPU)]
            left += [needs for needs in below if needs.marker is None or needs.marker.evaluate({"extra": extra})]
    return found, missing


def unfit(packages: Mapping[str, Distribution]) -> dict[str, str]:
    licences = {name: licence_of(package) for name, package in packages.items()}
    return {name: licence for name, licence in licences.items() if not fits(licence)}


@pytest.mark.parametrize(
    ("expression", "fitting"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only OR MIT", True),
        ("BSD-3-Clause AND (GPL-2.0-only OR ISC)", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-or-later", False),
        ("AGPL-3.0-only", False),
        ("LGPL-2.1-only", False),
        ("LicenseRef-Proprietary", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_an_expression_fits_when_all_that_must_hold_fits(expression: str, fitting: bool) -> None:
    assert fits(expression) == fitting


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ("License-Expression: MIT\nLicense: GPL", "MIT"),
        ("License: Apache 2.0", "Apache-2.0"),
        ("License: MPL-2.0 AND MIT", "MPL-2.0 AND MIT"),
        ("License: Copyright (c) somebody\nClassifier: License :: OSI Approved :: BSD License", "BSD-3-Clause"),
        ("Classifier: License :: OSI Approved :: Some Public License (SPL)", "Some Public License (SPL)"),
        ("License: as you like", "as you like"),
        ("Name: silent", ""),
    ],
)
def test_a_licence_is_read_from_where_a_package_says_it(tmp_path: Path, said: str, licence: str) -> None:
    (tmp_path / "METADATA").write_text(f"Metadata-Version: 2.4\n{said}\n")
    assert licence_of(Distribution.at(tmp_path)) == licence


def test_all_that_annot_needs_fits_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    lines = [*project["build-system"]["requires"], *project["project"]["dependencies"], *chain.from_iterable(extras)]
    found, missing = needed(map(Requirement, lines), installed())
    assert missing == set()
    assert len(found) > 100
    assert unfit(found) == OURS


@pytest.mark.server
def test_all_that_the_embedded_argilla_needs_fits_our_licence() -> None:
    (place,) = (ensure_environment(print).parent.parent / "lib").glob("python*/site-packages")
    wanted = [Requirement(line) for line in SERVER.read_text(encoding="utf-8").splitlines()]
    found, _ = needed(wanted, installed(str(place)))  # lines for another system are not installed
    assert len(found) > 80
    assert unfit(found) == ARGILLAS
