"""Entry of the container: a project in the volume, its Argilla in the foreground, its backups on the Hub if wanted.

Environment, all optional:

    ANNOT_PROJECT           folder of the project; default /data
    ANNOT_COUNTRIES         ISO 3166 codes with commas between, for the annot.toml of a new project; default MX
    ANNOT_LANGUAGES         ISO 639-1 codes, likewise; default es
    ANNOT_OWNER_PASSWORD    of the owner's account; default: random, in .argilla/secrets.json
    ANNOT_OWNER_API_KEY     likewise
    ANNOT_BACKUP_REPO       owner/name of a private dataset repository that takes the rolling backups
    HF_TOKEN                may write to it
    ANNOT_BACKUP_EVERY      "30m", "6h", ...: of the rolling backup, for the annot.toml of a new project; default 1h
    ANNOT_BACKUP_KEEP       archives that stay in the repository; default 24
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY_S = 20.0
"""How often the folder of the rolling backups is looked at."""

FOLDER = "backups"
"""Where the archives stand in the repository."""


class NotAsAsked(Exception):
    """What somebody has to put right before the container can start, in one sentence."""


def say(line: str) -> None:
    """Into the container's log."""
    print(f"annot: {line}", flush=True)


@dataclass(frozen=True)
class HubBackups:
    """Archives in a dataset repository. They hold passwords: a repository that others can read is refused."""

    repo: str
    token: str
    keep: int

    @classmethod
    def told(cls, environment: Mapping[str, str]) -> HubBackups | None:
        """From the environment; None where no repository is named.

        Raises:
            NotAsAsked: there is a repository but no token, or a number is none.
        """
        repo = environment.get("ANNOT_BACKUP_REPO", "")
        if not repo:
            return None
        token, keep = environment.get("HF_TOKEN", ""), environment.get("ANNOT_BACKUP_KEEP", "24")
        if not token:
            raise NotAsAsked(f"ANNOT_BACKUP_REPO is {repo}, but there is no HF_TOKEN that may write to it.")
        if not keep.isdigit() or not int(keep):
            raise NotAsAsked(f'ANNOT_BACKUP_KEEP is "{keep}"; write how many archives are to stay, for example 24.')
        return cls(repo, token, int(keep))

    def prepare(self) -> None:
        """Make the repository where it is missing, private.

        Raises:
            NotAsAsked: others can read it.
        """
        api = self._api()
        api.create_repo(self.repo, repo_type="dataset", private=True, exist_ok=True)
        if not api.repo_info(self.repo, repo_type="dataset").private:
            raise NotAsAsked(f"The dataset {self.repo} is public, and backups hold passwords: make it private.")

    def names(self) -> list[str]:
        """The archives that are there, oldest first: their names end in the time at which they were made."""
        found = self._api().list_repo_files(self.repo, repo_type="dataset")
        names = [Path(name).name for name in found if name.startswith(f"{FOLDER}/") and name.endswith(".zip")]
        return sorted(names, key=lambda name: name.rsplit("-", 2)[1:])

    def fetch(self, name: str, folder: Path) -> Path:
        """Download an archive."""
        return Path(self._api().hf_hub_download(self.repo, f"{FOLDER}/{name}", repo_type="dataset", local_dir=folder))

    def add(self, archive: Path) -> None:
        """Upload an archive and remove the oldest that are one too many, in one commit each."""
        api = self._api()
        api.upload_file(
            path_or_fileobj=archive, path_in_repo=f"{FOLDER}/{archive.name}", repo_id=self.repo, repo_type="dataset"
        )
        for name in self.names()[: -self.keep]:
            api.delete_file(f"{FOLDER}/{name}", self.repo, repo_type="dataset")

    def _api(self):
        # Slow to import, and not every container needs it.
        from huggingface_hub import HfApi

        return HfApi(token=self.token)


def reach(hub: HubBackups | None, project: Path) -> set[str]:
    """The archives on the Hub. A Hub that does not answer stops nobody whose project is here.

    Raises:
        NotAsAsked: nothing is here and it cannot be known whether something is there, or others can read it.
    """
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError

    if not hub:
        return set()
    try:
        hub.prepare()
        return set(hub.names())
    except (HfHubHTTPError, HTTPError, OSError) as problem:
        said = str(problem).strip().splitlines()[0]
        if not (project / "annot.toml").exists():
            raise NotAsAsked(f"{hub.repo} cannot be asked for backups ({said}); nothing is started without.") from None
        say(f"{hub.repo} cannot be asked for backups ({said}); they stay in {project} until it can.")
        return set()


def annot(*words: str) -> list[str]:
    """The command line of an annot command."""
    return [sys.executable, "-m", "annotation.cli", *words]


def prepare(project: Path, environment: Mapping[str, str], hub: HubBackups | None) -> None:
    """Have a project in the folder: the one that is there, the newest on the Hub, or a new one.

    Raises:
        NotAsAsked: the folder cannot be written, or an archive cannot be brought back.
    """
    if not os.access(project, os.W_OK):
        raise NotAsAsked(f"{project} cannot be written by user {os.getuid()}: give the volume to that user.")
    if (project / "annot.toml").exists():
        return
    if hub and (names := hub.names()):
        say(f"{project} is empty; bringing back {names[-1]} from {hub.repo}.")
        with tempfile.TemporaryDirectory() as folder:
            archive = hub.fetch(names[-1], Path(folder))
            done = subprocess.run(annot("restore", str(archive), "--project", str(project)), check=False)
        if done.returncode:
            raise NotAsAsked(f"{names[-1]} could not be brought back; nothing was started over it.")
        return
    chosen = [f"--country={code.strip()}" for code in environment.get("ANNOT_COUNTRIES", "MX").split(",")]
    chosen += [f"--language={code.strip()}" for code in environment.get("ANNOT_LANGUAGES", "es").split(",")]
    if subprocess.run(annot("init", str(project), *chosen), check=False).returncode:
        raise NotAsAsked("ANNOT_COUNTRIES or ANNOT_LANGUAGES is not as annot init takes it; see the line above.")
    settings = project / "annot.toml"
    every = environment.get("ANNOT_BACKUP_EVERY", "1h")
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("[argilla]\n", f'[argilla]\nbackup_every = "{every}"\n'), encoding="utf-8")


def warnings(environment: Mapping[str, str], project: Path, hub: HubBackups | None) -> list[str]:
    """What somebody must know who relies on this container, a sentence each."""
    found = []
    if environment.get("SPACE_ID"):
        if environment.get("PERSISTANT_STORAGE_ENABLED", "").lower() not in ("1", "true"):
            remedy = (
                f"At the next start the newest backup in {hub.repo} comes back; what came after it is lost."
                if hub
                else "Add persistent storage in the settings of the Space, or set ANNOT_BACKUP_REPO and HF_TOKEN."
            )
            found.append(
                "THIS SPACE HAS NO PERSISTENT STORAGE: whenever it restarts or falls asleep, every account and every "
                f"answer is gone. {remedy}"
            )
        if not environment.get("ANNOT_OWNER_PASSWORD"):
            found.append(
                "Nobody knows the owner's password: set the secrets ANNOT_OWNER_PASSWORD and ANNOT_OWNER_API_KEY of "
                "the Space."
            )
    elif not os.path.ismount(project):
        found.append(f"{project} is no volume: whatever is in it goes with the container.")
    return found


def server_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What Argilla's processes get: not the token, and the name by which a Space is reached."""
    passed = {name: value for name, value in environment.items() if name not in ("HF_TOKEN", "ANNOT_BACKUP_REPO")}
    if host := environment.get("SPACE_HOST"):
        passed["ANNOT_HOSTS"] = ",".join(filter(None, [passed.get("ANNOT_HOSTS"), host]))
        # The Hub shows a Space in a frame.
        passed.setdefault("ANNOT_FRAME_ANCESTORS", "https://huggingface.co")
        # Only the Hub's proxy reaches a Space, and it says who asks: failed log-ins are counted per person's address.
        passed.setdefault("FORWARDED_ALLOW_IPS", "*")
    return passed


def upload(hub: HubBackups, folder: Path, done: set[str]) -> None:
    """Upload the archives that are not there yet; a failure is told and tried again later."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError

    for archive in sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime):
        if archive.name in done:
            continue
        try:
            hub.add(archive)
        except (HfHubHTTPError, HTTPError, OSError) as problem:
            say(f"{archive.name} could not be uploaded to {hub.repo}: {str(problem).strip().splitlines()[0]}")
            return
        done.add(archive.name)
        say(f"{archive.name} is in {hub.repo}.")


def serve(environment: Mapping[str, str]) -> int:
    """Run until SIGTERM, or until Argilla ends by itself; returns the exit status."""
    project = Path(environment.get("ANNOT_PROJECT", "/data"))
    hub = HubBackups.told(environment)
    uploaded = reach(hub, project)
    prepare(project, environment, hub)
    for line in warnings(environment, project, hub):
        say(line)
    rolling = project / ".argilla" / "backups"
    child = subprocess.Popen(
        annot("up", "--foreground", "--host", "0.0.0.0", "--project", str(project)),
        env=server_environment(environment),
    )
    told_to_end = False

    def end(_signal: int, _frame: object) -> None:
        nonlocal told_to_end
        told_to_end = True
        child.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    looked = time.monotonic()
    while child.poll() is None:
        time.sleep(0.2)
        if hub and time.monotonic() - looked > LOOK_EVERY_S:
            upload(hub, rolling, uploaded)
            looked = time.monotonic()
    if hub and told_to_end:
        # What was answered since the last one. Argilla has stopped: nothing comes after it.
        subprocess.run(annot("backup", "--rolling", "--project", str(project)), check=False)
        upload(hub, rolling, uploaded)
    return 0 if told_to_end else child.returncode or 1


def main() -> int:
    """Serve; what somebody has to put right is one line."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        return serve(os.environ)
    except NotAsAsked as problem:
        say(str(problem))
        return 2


if __name__ == "__main__":
    sys.exit(main())
