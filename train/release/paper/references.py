"""References of a paper: works of which the method makes use, and the programs that did it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

WORKS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "dpo": (
        "inproceedings",
        {
            "author": "Rafailov, Rafael and Sharma, Archit and Mitchell, Eric and Manning, Christopher D. and Ermon, "
            "Stefano and Finn, Chelsea",
            "title": "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
            "booktitle": "Advances in Neural Information Processing Systems",
            "volume": "36",
            "year": "2023",
        },
    ),
    "lora": (
        "inproceedings",
        {
            "author": "Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and "
            "Wang, Shean and Wang, Lu and Chen, Weizhu",
            "title": "{LoRA}: Low-Rank Adaptation of Large Language Models",
            "booktitle": "International Conference on Learning Representations",
            "year": "2022",
        },
    ),
    "qlora": (
        "inproceedings",
        {
            "author": "Dettmers, Tim and Pagnoni, Artidoro and Holtzman, Ari and Zettlemoyer, Luke",
            "title": "{QLoRA}: Efficient Finetuning of Quantized {LLMs}",
            "booktitle": "Advances in Neural Information Processing Systems",
            "volume": "36",
            "year": "2023",
        },
    ),
    "intquant": (
        "inproceedings",
        {
            "author": "Dettmers, Tim and Lewis, Mike and Belkada, Younes and Zettlemoyer, Luke",
            "title": "{LLM.int8()}: 8-bit Matrix Multiplication for Transformers at Scale",
            "booktitle": "Advances in Neural Information Processing Systems",
            "volume": "35",
            "year": "2022",
        },
    ),
    "plackett": (
        "article",
        {
            "author": "Plackett, R. L.",
            "title": "The Analysis of Permutations",
            "journal": "Journal of the Royal Statistical Society. Series C (Applied Statistics)",
            "volume": "24",
            "number": "2",
            "pages": "193--202",
            "year": "1975",
        },
    ),
    "krippendorff": (
        "book",
        {
            "author": "Krippendorff, Klaus",
            "title": "Content Analysis: An Introduction to Its Methodology",
            "edition": "4th",
            "publisher": "SAGE Publications",
            "year": "2018",
        },
    ),
    "include": (
        "inproceedings",
        {
            "author": "Romanou, Angelika and others",
            "title": "{INCLUDE}: Evaluating Multilingual Language Understanding with Regional Knowledge",
            "booktitle": "International Conference on Learning Representations",
            "year": "2025",
        },
    ),
    "crows": (
        "inproceedings",
        {
            "author": "Nangia, Nikita and Vania, Clara and Bhalerao, Rasika and Bowman, Samuel R.",
            "title": "{CrowS-Pairs}: A Challenge Dataset for Measuring Social Biases in Masked Language Models",
            "booktitle": "Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing "
            "({EMNLP})",
            "pages": "1953--1967",
            "year": "2020",
        },
    ),
    "trl": (
        "misc",
        {
            "author": "von Werra, Leandro and others",
            "title": "{TRL}: Transformer Reinforcement Learning",
            "howpublished": "https://github.com/huggingface/trl",
            "year": "2020",
        },
    ),
    "peft": (
        "misc",
        {
            "author": "Mangrulkar, Sourab and Gugger, Sylvain and Debut, Lysandre and Belkada, Younes and Paul, Sayak "
            "and Bossan, Benjamin",
            "title": "{PEFT}: State-of-the-art Parameter-Efficient Fine-Tuning methods",
            "howpublished": "https://github.com/huggingface/peft",
            "year": "2022",
        },
    ),
    "transformers": (
        "inproceedings",
        {
            "author": "Wolf, Thomas and others",
            "title": "Transformers: State-of-the-Art Natural Language Processing",
            "booktitle": "Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing: "
            "System Demonstrations",
            "pages": "38--45",
            "year": "2020",
        },
    ),
    "argilla": (
        "misc",
        {
            "author": "{Argilla}",
            "title": "{Argilla}: a collaboration tool to build datasets",
            "howpublished": "https://github.com/argilla-io/argilla",
        },
    ),
    "harness": (
        "misc",
        {
            "author": "Gao, Leo and others",
            "title": "A framework for few-shot language model evaluation",
            "howpublished": "https://github.com/EleutherAI/lm-evaluation-harness",
        },
    ),
    "codecarbon": (
        "misc",
        {
            "author": "{CodeCarbon}",
            "title": "{CodeCarbon}: Estimate and Track Carbon Emissions from Machine Learning Computing",
            "howpublished": "https://github.com/mlco2/codecarbon",
        },
    ),
}
"""Key -> kind of entry in BibTeX, and its fields."""


def bibtex(keys: Iterable[str]) -> str:
    """The content of references.bib: the works that a paper cites, in the order of their keys."""
    entries = []
    for key in sorted(set(keys) & WORKS.keys()):
        kind, fields = WORKS[key]
        # An address is written by \url, which needs no escapes.
        lines = [f"  {n} = {{{_address(v) if n == 'howpublished' else v}}}" for n, v in fields.items()]
        entries.append(f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}\n")
    return "\n".join(entries)


def _address(value: str) -> str:
    return f"\\url{{{value}}}"


def reference_lines(keys: Iterable[str]) -> list[str]:
    """The list of references in Markdown."""
    lines = []
    for key in sorted(set(keys) & WORKS.keys()):
        fields = {name: value.replace("{", "").replace("}", "") for name, value in WORKS[key][1].items()}
        where = [fields[name] for name in ("journal", "booktitle", "publisher", "howpublished") if name in fields]
        pages = fields.get("pages", "").replace("--", "–")
        parts = [fields["author"], *([fields["year"]] if "year" in fields else []), fields["title"], *where]
        lines.append(f"- [@{key}]: {'. '.join(part.rstrip('.') for part in parts)}{f', {pages}' if pages else ''}.")
    return lines
