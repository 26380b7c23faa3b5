"""Releases go to the Hub whole or not at all, and the same release only once."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import kills
from hub_server import READ_TOKEN, TOKEN, HubStandIn, ask, environment

from annotation.errors import SettingsError, TrainError, TrainLater
from train.release.hub import push as pushes
from train.release.hub.answers import in_words, wait_before_retry
from train.release.hub.contents import YOURS, card_digest
from train.release.hub.push import plan, push

NAME = "team/our-model"

CHILD = """
import sys
from pathlib import Path
from train.release.hub.push import push
push(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
"""
"""A push in a process that can be killed."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """The Hub, on this machine, and a token that may write there."""
    import stamina

    with HubStandIn() as stand_in, stamina.set_testing(True, attempts=pushes.ATTEMPTS):  # no pauses between attempts
        ask(stand_in, monkeypatch)
        yield stand_in


def released(folder: Path, kind: str = "model", **files: str | bytes) -> Path:
    """A release by hand; "__" in a name stands for ".", and "_in_" for "/"."""
    contents: dict[str, str | bytes] = {
        "adapter_config__json": '{"r": 4}',
        "adapter_model__safetensors": bytes(range(256)) * 40,
        "figures__json": "{}",
        **files,
    }
    named = {}
    for name, content in contents.items():
        place = name.replace("_in_", "/").replace("__", ".")
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        named[place] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Ours\n", encoding="utf-8")
    record = {"kind": kind, "run": "r1", "made_at": "2026-11-29T01:02Z", "annot": "0.1.0", "files": named}
    (folder / "release.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def whole(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_release_becomes_one_commit_in_a_private_repository(hub: HubStandIn, tmp_path: Path) -> None:
    folder = released(tmp_path / "model")
    (folder / "half.part").write_text("half")
    (folder / ".env").write_text("HF_TOKEN=secret")
    pushed = push("model", folder, NAME)
    repository = hub.repositories["model", NAME]
    assert repository.private
    assert pushed.private
    assert [commit.title for commit in repository.commits] == ["Release of r1"]
    assert (pushed.commit, pushed.url) == (repository.sha, f"{hub.url}/{NAME}")
    assert pushed.commit_url == f"{hub.url}/{NAME}/commit/{repository.sha}"
    assert pushed.left == (".env", "half.part")
    sent = {name: content for name, content in whole(folder).items() if name not in pushed.left}
    assert {name: repository.files[name] for name in pushed.sent} == sent
    assert repository.files.keys() == sent.keys() | {".gitattributes"}


def test_a_dry_run_lists_every_file_and_sends_nothing(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model, space = released(tmp_path / "model"), released(tmp_path / "space", "space", adapter_in_weights="w")
    (model / "notes.txt").write_text("mine")
    planned = plan([("model", model), ("space", space)], NAME)
    assert [(p.kind, p.repo) for p in planned] == [
        ("model", NAME),
        ("space", NAME),
        ("dataset", f"{NAME}-votes"),
    ]
    assert planned[0].left == ("notes.txt",)
    expected = {name: len(content) for name, content in whole(model).items() if name != "notes.txt"}
    assert dict(planned[0].files) == expected
    assert planned[0].size == sum(expected.values())
    assert dict(planned[1].files).keys() == whole(space).keys()
    assert hub.requests == []


def test_the_same_release_is_pushed_once(hub: HubStandIn, tmp_path: Path) -> None:
    folder = released(tmp_path / "model")
    first = push("model", folder, NAME)
    uploads = list(hub.uploads)
    second = push("model", folder, NAME)
    record = json.loads((folder / "release.json").read_text())
    (folder / "release.json").write_text(json.dumps({**record, "made_at": "2026-11-30T00:00Z"}))
    third = push("model", folder, NAME)
    assert len(hub.repositories["model", NAME].commits) == 1
    assert (second.sent, second.commit, second.commit_url) == ((), first.commit, first.commit_url)
    assert third.sent == ()
    assert hub.uploads == uploads
    assert len(uploads) == 1


def test_a_changed_file_is_one_more_commit_of_that_file(hub: HubStandIn, tmp_path: Path) -> None:
    push("model", released(tmp_path / "model"), NAME)
    pushed = push("model", released(tmp_path / "model", adapter_config__json='{"r": 8}'), NAME)
    repository = hub.repositories["model", NAME]
    assert pushed.sent == ("adapter_config.json", "release.json")
    assert len(repository.commits) == 2
    assert repository.files["adapter_config.json"] == b'{"r": 8}'
    assert len(hub.uploads) == 1
    pushed = push("model", released(tmp_path / "model", adapter_model__safetensors=b"other weights"), NAME)
    assert pushed.sent == ("adapter_config.json", "adapter_model.safetensors", "release.json")
    assert repository.files["adapter_model.safetensors"] == b"other weights"


def test_files_of_others_stay_and_those_of_an_earlier_release_go(hub: HubStandIn, tmp_path: Path) -> None:
    push("model", released(tmp_path / "old", old__txt="old", deep_in_old__bin=b"old weights"), NAME)
    repository = hub.repositories["model", NAME]
    repository.commit("by hand", {**repository.files, "photo.png": b"ours", "deep/theirs.txt": b"ours"})
    folder = released(tmp_path / "new")
    pushed = push("model", folder, NAME)
    assert pushed.removed == ("deep/old.bin", "old.txt")
    assert repository.files.keys() == whole(folder).keys() | {".gitattributes", "photo.png", "deep/theirs.txt"}
    assert len(repository.commits) == 3


def test_a_release_json_of_somebody_else_removes_nothing(hub: HubStandIn, tmp_path: Path) -> None:
    for theirs in ({"release.json": b"[1]", "kept.txt": b"kept"}, {"README.md": b"ours"}):
        repository = hub.make("model", NAME, theirs)
        with pytest.raises(TrainError, match=r"that annot did not put there, and it is not overwritten"):
            push("model", released(tmp_path / "model"), NAME)
        assert {name: repository.files[name] for name in theirs} == theirs


def test_words_that_were_written_on_the_hub_are_not_lost(hub: HubStandIn, tmp_path: Path) -> None:
    folder = released(tmp_path / "model")
    card = folder / "README.md"

    def push_card(text: str) -> bytes:
        card.write_text(text, encoding="utf-8")
        facts = json.loads((folder / "release.json").read_text())
        facts["card"] = card_digest(text)
        (folder / "release.json").write_text(json.dumps(facts))
        push("model", folder, NAME)
        return hub.repositories["model", NAME].files["README.md"]

    push_card(f"# One\n{YOURS}\n")
    repository = hub.repositories["model", NAME]
    repository.commit("on the page", {**repository.files, "README.md": f"# One\n{YOURS}\nBy a school.\n".encode()})
    with pytest.raises(TrainError, match=r"was changed on the Hub's page, .* copy them below the line"):
        push_card(f"# Two\n{YOURS}\n")
    assert b"By a school." in push_card(f"# Two\n{YOURS}\nBy a school.\n")


@pytest.mark.parametrize("public", [True, False])
def test_a_repository_stays_as_visible_as_it_was(hub: HubStandIn, tmp_path: Path, public: bool) -> None:
    repository = hub.make("dataset", NAME, private=not public)
    pushed = push("dataset", released(tmp_path / "data", "dataset"), NAME, private=public)
    assert repository.private is not public
    assert pushed.private is not public
    assert pushed.url == f"{hub.url}/datasets/{NAME}"
    fresh = push("dataset", tmp_path / "data", f"{NAME}-2", private=public)
    assert fresh.private is hub.repositories["dataset", f"{NAME}-2"].private is public


def test_a_space_gets_a_private_repository_for_its_votes(hub: HubStandIn, tmp_path: Path) -> None:
    folder = released(tmp_path / "space", "space", app__py="print(1)")
    pushed = push("space", folder, NAME, private=False)
    votes = hub.repositories["dataset", f"{NAME}-votes"]
    assert votes.private
    assert votes.commits == []
    space = hub.repositories["space", NAME]
    assert (space.sdk, space.private, len(space.commits)) == ("gradio", False, 1)
    assert f"dataset {NAME}-votes and to nothing else" in pushed.to_do[0]
    assert f"{hub.url}/spaces/{NAME}/settings" in pushed.to_do[0]
    assert "hardware" in pushed.to_do[1]
    votes.commit("votes of a visitor", {"votes/1.jsonl": b"{}"})
    push("space", folder, NAME)
    assert votes.files == {"votes/1.jsonl": b"{}"}
    votes.private = False
    with pytest.raises(TrainError, match=f"{NAME}-votes is public"):
        push("space", folder, NAME)


# -- what cannot be pushed ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model", "a/b/c", "team/--", "team/a b", "/x", f"team/{'x' * 100}"])
def test_a_name_that_the_hub_does_not_take_is_refused_before_anything(
    hub: HubStandIn, tmp_path: Path, name: str
) -> None:
    with pytest.raises(SettingsError, match="OWNER/NAME"):
        push("model", tmp_path, name)
    with pytest.raises(SettingsError, match="OWNER/NAME"):
        plan([("model", tmp_path)], name)
    assert hub.requests == []


@pytest.mark.usefixtures("hub")
def test_the_name_of_the_votes_is_looked_at_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="OWNER/NAME"):
        push("space", released(tmp_path / "s", "space"), f"team/{'x' * 93}")


def test_without_a_token_nothing_is_sent(hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    folder = released(tmp_path / "model")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(SettingsError, match=r"may write at .*/settings/tokens, then type export HF_TOKEN="):
        push("model", folder, NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_sécret")
    with pytest.raises(SettingsError, match="no token has") as refused:
        push("model", folder, NAME)
    assert "cret" not in str(refused.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match="HF_HUB_OFFLINE"):
        push("model", folder, NAME)
    assert hub.requests == []


@pytest.mark.parametrize("name", [".env", "deep/.git/config", "x.part", "secrets.toml", "../outside", "/etc/hostname"])
def test_what_is_never_given_away_stops_a_push(hub: HubStandIn, tmp_path: Path, name: str) -> None:
    folder = released(tmp_path / "model")
    record = json.loads((folder / "release.json").read_text())
    record["files"][name] = "0" * 64
    (folder / "release.json").write_text(json.dumps(record))
    with pytest.raises(TrainError, match="never given away"):
        push("model", folder, NAME)
    assert hub.requests == []


def test_a_release_that_is_not_whole_stops_a_push(hub: HubStandIn, tmp_path: Path) -> None:
    folder = released(tmp_path / "model")
    with pytest.raises(TrainError, match='kind "model", not "dataset"'):
        push("dataset", folder, NAME)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(TrainError, match=r"adapter_config\.json is not the file that was released"):
        push("model", folder, NAME)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(TrainError, match=r"adapter_config\.json is missing"):
        push("model", folder, NAME)
    (folder / "adapter_config.json").symlink_to("/etc/hostname")
    with pytest.raises(TrainError, match="leads out"):
        push("model", folder, NAME)
    for damaged, said in (("{", "damaged"), ("[]", "names no files"), (None, "no finished release")):
        (folder / "release.json").unlink()
        if damaged is not None:
            (folder / "release.json").write_text(damaged)
        with pytest.raises(TrainError, match=said):
            push("model", folder, NAME)
        (folder / "release.json").touch()
    assert hub.requests == []


# -- what the Hub may answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "name", "said"),
    [
        ("hf_wrong", NAME, r"does not know your token \(401.* expired .*/settings/tokens"),
        (READ_TOKEN, NAME, r"may not write the model team/our-model .* token with write access"),
        (TOKEN, "others/model", r"may not write the model others/model .* may write for others"),
    ],
)
def test_a_token_without_the_right_is_told_so(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, name: str, said: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(TrainError, match=said) as refused:
        push("model", released(tmp_path / "model"), name)
    assert not isinstance(refused.value, TrainLater)
    assert len(str(refused.value).splitlines()) == 1
    assert token not in str(refused.value)
    assert hub.repositories == {}


def test_a_token_that_may_only_read_is_refused_where_the_repository_is_there(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = hub.make("model", NAME)
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    with pytest.raises(TrainError, match="may not write the model"):
        push("model", released(tmp_path / "model"), NAME)
    assert repository.commits == []


@pytest.mark.parametrize(
    ("status", "on", "text", "said"),
    [
        (402, "/create", "Gradio Spaces need PRO", "paid plan"),
        (403, "/batch", "Private repository storage limit reached", "no room"),
        (404, "/tree/", "Repository not found", "shows your token no"),
        (413, "/commit/", "Payload too large", "too large"),
        (418, "/commit/", "a teapot", "refuses"),
        (400, "/validate-yaml", "", "does not take the model"),
    ],
)
def test_a_refusal_of_the_hub_is_one_sentence(
    hub: HubStandIn, tmp_path: Path, status: int, on: str, text: str, said: str
) -> None:
    hub.fail(status, on=on, said=text, times=99)
    with pytest.raises(TrainError, match=said) as refused:
        push("model", released(tmp_path / "model"), NAME)
    assert not isinstance(refused.value, TrainLater)
    assert text in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert all(not repository.commits for repository in hub.repositories.values())


@pytest.mark.parametrize(
    ("status", "on"), [(500, "/create"), (503, "/tree/"), (409, "/commit/"), (412, "/commit/"), (502, "/commit/")]
)
def test_a_hub_that_stumbles_is_asked_again(hub: HubStandIn, tmp_path: Path, status: int, on: str) -> None:
    hub.fail(status, on=on, times=2)
    push("model", released(tmp_path / "model"), NAME)
    assert len(hub.repositories["model", NAME].commits) == 1
    assert len(hub.uploads) == 1


@pytest.mark.parametrize("on", ["/upload/", "/preupload/", "/batch"])
def test_an_upload_that_is_cut_off_goes_on(hub: HubStandIn, tmp_path: Path, on: str) -> None:
    hub.fail(0, on=on)
    push("model", released(tmp_path / "model"), NAME)
    assert len(hub.repositories["model", NAME].commits) == 1


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub: HubStandIn, tmp_path: Path) -> None:
    def lose(number: int, granted: bool) -> None:
        if granted and "/commit/" in hub.requests[number - 1]:
            raise ConnectionResetError

    hub.watch = lose
    pushed = push("model", released(tmp_path / "model"), NAME)
    assert len(hub.repositories["model", NAME].commits) == 1
    assert pushed.commit == hub.repositories["model", NAME].sha


def test_whoever_commits_at_the_same_time_loses_nothing_and_leaves_no_half_release(
    hub: HubStandIn, tmp_path: Path
) -> None:
    push("model", released(tmp_path / "model"), NAME)
    repository = hub.repositories["model", NAME]

    def meddle(number: int, done: bool) -> None:
        if not done and "/commit/" in hub.requests[number - 1] and len(repository.commits) == 1:
            repository.commit("by hand", {**repository.files, "theirs.txt": b"theirs", "README.md": b"theirs"})

    hub.watch = meddle
    folder = released(tmp_path / "model", adapter_config__json='{"r": 8}')
    push("model", folder, NAME)
    assert [commit.title for commit in repository.commits] == ["Release of r1", "by hand", "Release of r1"]
    assert {name: repository.files[name] for name in whole(folder)} == whole(folder)
    assert repository.files["theirs.txt"] == b"theirs"


def test_other_ways_of_the_client_to_fail_are_told_apart_from_this_machines_own() -> None:
    below = ConnectionResetError("reset by peer")
    thread = RuntimeError("an upload failed")
    thread.__cause__ = below
    for error in (thread, below, json.JSONDecodeError("no JSON", "<html>", 0)):
        assert wait_before_retry(error) is True
        assert isinstance(in_words(error, "model", NAME), TrainLater)
    refused = PermissionError("token refused")  # as the storage of large files says it
    assert "may not write the model" in str(in_words(refused, "model", NAME))
    for own in (PermissionError(13, "Permission denied", "a file"), RuntimeError("a mistake of ours")):
        assert in_words(own, "model", NAME) is None
        assert wait_before_retry(own) is False
    assert wait_before_retry(refused) is False


def test_a_hub_that_is_down_or_busy_says_when_to_come_back(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = released(tmp_path / "model")
    hub.fail(503, on="/create", times=pushes.ATTEMPTS)
    with pytest.raises(TrainLater, match=r"out of order \(503.* run the same command again"):
        push("model", folder, NAME)
    assert capsys.readouterr().err == f"annot: the Hub does not take {NAME} at once; trying again.\n"
    hub.fail(429, on="/create", times=1, Retry_After="3600")
    with pytest.raises(TrainLater, match=r"no more requests for now .* again in 60 min"):
        push("model", folder, NAME)
    hub.fail(429, on="/create", times=1, Retry_After="0")
    assert push("model", folder, NAME).sent
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(TrainLater, match="cannot be reached"):
        push("model", folder, NAME)


def test_the_token_is_in_no_output_and_no_log(
    hub: HubStandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.fail(503, on="/upload/")
    pushed = push("model", released(tmp_path / "model"), NAME)
    hub.fail(403, on="/create", times=99)
    with pytest.raises(TrainError) as refused:
        push("model", released(tmp_path / "model", adapter_config__json="{}"), f"{NAME}-2")
    out, err = capfd.readouterr()
    assert "trying again" in err
    assert out == ""
    for said in (err, caplog.text, repr(pushed), str(refused.value), repr(plan([("model", tmp_path / "model")], NAME))):
        assert TOKEN not in said
    assert not [content for content in hub.repositories["model", NAME].files.values() if TOKEN.encode() in content]


def test_the_progress_ends_with_all_of_it(hub: HubStandIn, tmp_path: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    folder = released(tmp_path / "model", adapter_model__safetensors=random.Random(0).randbytes(3_000_000))
    push("model", folder, NAME, progress=lambda done, total=None, note="": told.append((done, total, note)))
    assert told[-1] == (3, 3, f"MB to {NAME}")
    assert any("checked" in note for _, _, note in told)
    assert all(done <= (total or 0) for done, total, _ in told)
    assert len(hub.uploads) == 1


# -- kills ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["model", "space"])
def test_a_push_that_is_killed_anywhere_ends_as_one_commit_with_everything(kind: str, tmp_path: Path) -> None:
    folder = released(tmp_path / "release", kind, tokenizer_in_merges__txt="a b", second__safetensors=bytes(3_000_000))
    told = [sys.executable, "-c", CHILD, kind, str(folder), NAME]
    moments = [*_moments(told)]
    assert len(moments) > 10
    chosen = moments if kills(0, 1) else random.Random(13).sample(moments, 4)
    for number, granted in chosen:
        with HubStandIn() as hub:
            hub.make(kind, NAME, {"theirs.txt": b"theirs"})
            started: list[subprocess.Popen[bytes]] = []

            def end(
                asked: int, done: bool, moment: tuple[int, bool] = (number, granted), started: list = started
            ) -> None:
                if (asked, done) == moment:
                    started[0].send_signal(signal.SIGKILL)
                    started[0].wait()

            hub.watch = end
            started.append(subprocess.Popen(told, env=environment(hub)))
            assert started[0].wait(60) == -signal.SIGKILL, (number, granted)
            hub.watch = lambda _number, _granted: None
            made = hub.repositories[kind, NAME]
            assert made.files.keys() in ({".gitattributes", "theirs.txt"}, whole(folder).keys() | set(made.files))
            subprocess.run(told, env=environment(hub), check=True)
            assert [commit.title for commit in made.commits] == ["by hand", "Release of r1"], (number, granted)
            assert {name: made.files[name] for name in whole(folder)} == whole(folder)
            assert made.files["theirs.txt"] == b"theirs"
            assert len(hub.uploads) == len(set(hub.uploads)), (number, granted)
            assert (("dataset", f"{NAME}-votes") in hub.repositories) == (kind == "space")


def _moments(told: list[str]) -> Iterator[tuple[int, bool]]:
    """Amid and after each request of a push that nobody ends."""
    with HubStandIn() as hub:
        hub.make(told[3], NAME, {"theirs.txt": b"theirs"})
        subprocess.run(told, env=environment(hub), check=True)
        for number in range(1, len(hub.requests) + 1):
            yield from ((number, False), (number, True))


# -- the stand-in itself --------------------------------------------------------------------------------


def test_a_pushed_dataset_is_loaded_from_the_hub_by_its_name(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"prompt": f"p{n}", "chosen": "a"}) + "\n" for n in range(3))
    folder = released(tmp_path / "data", "dataset", data_in_train__jsonl=rows)
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train.jsonl\n---\n"
    (folder / "README.md").write_text(card)
    code = f"import datasets; print(datasets.load_dataset('{NAME}', split='train')['prompt'][:])"
    with HubStandIn() as hub:
        place = {**environment(hub), "HF_HOME": str(tmp_path / "home")}
        told = [sys.executable, "-c", CHILD, "dataset", str(folder), NAME]
        subprocess.run(told, env=place, check=True)
        loaded = subprocess.run([sys.executable, "-c", code], env=place, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip() == "['p0', 'p1', 'p2']"
