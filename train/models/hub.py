"""Models on the Hub: fetched whole, found again without a network, or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from annotation.config import OPEN_BASE
from annotation.errors import TrainError, TrainLater

HUB_TIMEOUT_S = 5.0
"""How long the Hub may be silent before it counts as unreachable; a download may take as long as it needs."""

HUB_FILES = ("*.json", "*.model", "*.txt", "*.jinja", "README.md")
"""What a model consists of beside its weights; its card names the licence."""

HUB_WEIGHTS = ("*.safetensors",)
"""Its weights; the same in other formats stay on the Hub."""


NOT_OPEN = f"no commercial use; {OPEN_BASE} with --base, or train.base in annot.toml, is open (Apache-2.0)"
"""What follows from a licence that is not open."""


def licence_in(card: Path) -> str:
    """The licence that a model card names in its head; "" where it names none."""
    facts = card_of(card)
    named = facts.get("license_name") or facts.get("license")
    return named if isinstance(named, str) else ""


def card_of(card: Path) -> dict[str, Any]:
    """The head of a model card; empty where there is none."""
    from huggingface_hub.repocard import metadata_load

    try:
        return (metadata_load(card) if card.exists() else None) or {}
    except (ValueError, OSError):  # a card is for people: a damaged head stops nothing
        return {}


def fetch(name: str, revision: str, *, weights: bool) -> Path:
    """Fetch a model, or find an earlier download where the Hub cannot be reached.

    Args:
        name: Its id on the Hub.
        revision: Branch, tag or commit.
        weights: Fetch its weights too; a plan needs only the tokenizer.

    Raises:
        TrainError: There is no such model or revision, or the Hub does not give it out.
        TrainLater: The Hub cannot be reached and no earlier download is here, or a download is not whole.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        GatedRepoError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        try:
            # Asked first, because a download waits for minutes on a network that swallows what it is sent.
            commit = HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT_S).sha
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise
        except (HTTPError, ConnectionError):
            folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        else:
            wanted = [*HUB_FILES, *(HUB_WEIGHTS if weights else ())]
            folder = Path(snapshot_download(name, revision=commit, allow_patterns=wanted))
    except GatedRepoError:
        raise TrainError(
            f"the Hub does not give out {name} to everyone: accept its licence on its page, and set HF_TOKEN, or take "
            f"an open base, for example --base {OPEN_BASE} (Apache-2.0)."
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise TrainError(
            f"{name} is neither a folder here nor a model on the Hub; check the name, or set HF_TOKEN if it is private."
        ) from None
    except RevisionNotFoundError:
        raise TrainError(f'{name} has no revision "{revision}" on the Hub; mend base.revision.') from None
    except LocalEntryNotFoundError:
        raise TrainLater(
            f"{name} is not on this machine and the Hub cannot be reached; connect, or name a model folder with --base."
        ) from None
    except (HTTPError, ConnectionError) as error:
        raise TrainLater(f"the Hub broke off while {name} was fetched ({_first_line(error)}); run it again.") from None
    if weights and (missing := _missing_weights(folder)):
        raise TrainLater(f"the download of {name} is not whole ({missing[0]} is missing); connect, and run it again.")
    return folder


def _missing_weights(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [] if (folder / "model.safetensors").exists() else ["model.safetensors"]
    named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return sorted(name for name in named if not (folder / name).exists())


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
