"""Where files are kept: a folder and a place that fsspec reaches do the same."""

import os
import time

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from optim.errors import ConfigError, MissingDependencyError, RunError
from optim.runs import files as module
from optim.runs.artefacts import keep, name_of
from optim.runs.checkpoint import Checkpoint, checkpoints_of, forget_checkpoints
from optim.runs.files import LocalFiles, SharedFiles, open_files
from optim.runs.job import perform
from optim.runs.store import RunStore
from optim.runs.work import Work
from tests.optim.runs.kinds import KINDS, chain


@pytest.fixture
def shared_files(tmp_path):
    """A file system of fsspec that is no folder: it lives as long as this process."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return SharedFiles(system, "/optim", "memory", tmp_path / "here")


@pytest.fixture(params=["local", "shared"])
def kept(request, tmp_path):
    if request.param == "local":
        return LocalFiles(tmp_path)
    return request.getfixturevalue("shared_files")


def test_what_is_written_is_found_by_its_name(kept):
    assert kept.names() == kept.names("deep/er") == []
    kept.write("deep/er/b", b"1")
    kept.write("deep/er/a", b"2")
    kept.write("deep/er/a", b"3")
    assert kept.names("deep") == ["er"]
    assert kept.names("deep/er") == kept.within("deep").names("er") == ["a", "b"]
    assert kept.within("deep/er").read("a") == b"3"
    with pytest.raises(OSError):
        kept.read("deep/er/c")


def test_removing_a_name_or_a_folder_leaves_the_others(kept):
    for name in ("a/1", "a/2", "b/1"):
        kept.write(name, b"x")
    for _ in range(2):
        kept.remove("a/1")
    assert (kept.names("a"), kept.names("b")) == (["2"], ["1"])
    for _ in range(2):
        kept.remove("a")
    assert (kept.names("a"), kept.names("b")) == ([], ["1"])


def test_artefacts_and_checkpoints_do_not_know_where_they_are(kept):
    artefact = keep(kept, "model.onnx", b"content")
    assert kept.read(name_of(artefact.hash)) == b"content"
    assert kept.has(name_of(artefact.hash), 7, artefact.hash)
    assert not kept.has(name_of(artefact.hash), 8, artefact.hash)
    assert not kept.has(name_of("0" * 32), 7, "0" * 32)
    for number in (1, 2, 3):
        Checkpoint(checkpoints_of(kept, "abc"), "train", number).save({"epoch": number})
    assert Checkpoint(checkpoints_of(kept, "abc"), "train", 4).load() == {"epoch": 3}
    [step] = kept.names("checkpoints/abc")
    assert len(kept.names(f"checkpoints/abc/{step}")) == 2
    forget_checkpoints(kept, "abc")
    assert Checkpoint(checkpoints_of(kept, "abc"), "train", 4).load() is None


def test_nothing_is_rewritten_that_is_there(kept, monkeypatch):
    keep(kept, "a", b"content")
    monkeypatch.setattr(type(kept), "write", lambda *args: pytest.fail("written again"))
    keep(kept, "b", b"content")


def test_a_part_is_never_seen_where_a_place_could_show_one(shared_files, monkeypatch):
    seen, pipe = [], shared_files._system.pipe_file

    def spy(path, content):
        pipe(path, content)
        seen.append(shared_files.names("a"))

    monkeypatch.setattr(shared_files._system, "pipe_file", spy)
    shared_files.write("a/b", b"all of it")
    assert seen[0][0].startswith(".b.")
    assert shared_files.names("a") == ["b"]
    whole = SharedFiles(shared_files._system, "/bucket", "s3", shared_files.path(""))
    whole.write("a/b", b"all of it")
    assert seen[1] == ["b"], "an object store shows whole files only: it is written once"
    monkeypatch.setattr(shared_files._system, "mv", _refuse)
    with pytest.raises(PermissionError):
        shared_files.write("a/c", b"all of it")
    assert shared_files.names("a") == ["b"]


def _refuse(*args, **options):
    raise PermissionError(13, "Permission denied")


def test_a_place_that_refuses_is_a_sentence(shared_files, monkeypatch):
    monkeypatch.setattr(shared_files._system, "pipe_file", _refuse)
    with pytest.raises(RunError, match=r"'a' cannot be kept: Permission denied\. Free some"):
        keep(shared_files, "a", b"content")
    with pytest.raises(RunError, match=r"'train' cannot be written: Permission denied"):
        Checkpoint(shared_files, "train").save({})


def test_errors_of_other_libraries_are_sentences_as_well(shared_files, monkeypatch):
    class EndpointConnectionError(Exception):
        pass

    def unreachable(*args, **options):
        raise EndpointConnectionError("Could not connect to the endpoint.")

    for name in ("pipe_file", "cat_file", "ls", "info", "rm"):
        monkeypatch.setattr(shared_files._system, name, unreachable)
    for use in (
        lambda: shared_files.names("a"),
        lambda: shared_files.read("a"),
        lambda: shared_files.write("a", b"x"),
        lambda: shared_files.has("a", 1, "0"),
        lambda: shared_files.remove("a"),
    ):
        with pytest.raises(OSError, match="Could not connect to the endpoint"):
            use()


def test_a_place_that_is_lost_does_not_look_like_one_without_checkpoints(shared_files, monkeypatch):
    states = Checkpoint(checkpoints_of(shared_files, "abc"), "train")
    states.save({"epoch": 1})
    states.save({"epoch": 2})
    monkeypatch.setattr(shared_files._system, "ls", _refuse)
    with pytest.raises(RunError, match=r"'train' cannot be looked for: Permission denied\. Check"):
        Checkpoint(checkpoints_of(shared_files, "abc"), "train", 2).load()
    states.save({"epoch": 3})
    monkeypatch.setattr(shared_files._system, "rm", _refuse)
    forget_checkpoints(shared_files, "abc")
    monkeypatch.undo()
    assert Checkpoint(checkpoints_of(shared_files, "abc"), "train", 2).load() == {"epoch": 3}


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path):
    kept = LocalFiles(tmp_path)
    kept.write("checkpoints/run/step/1.checkpoint", b"x")
    folder = tmp_path / "checkpoints" / "run" / "step"
    for name, age in ((".old", 20.0), (".new", 0.0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    kept.remove_leftovers(10.0)
    assert {path.name for path in folder.iterdir()} == {"1.checkpoint", ".new"}


@pytest.mark.parametrize("form", ["{}", "file://{}", "local://{}"])
def test_a_folder_is_named_by_path_or_url(tmp_path, form):
    place = tmp_path / "a b"
    found = open_files(form.format(place), tmp_path / "here")
    assert isinstance(found, LocalFiles)
    assert found.root == place
    assert open_files(f"file://{tmp_path}/a%20b", tmp_path).root == place


def test_without_a_place_files_stay_in_the_folder_of_the_store(store, tmp_path, monkeypatch):
    monkeypatch.delenv("OPTIM_FILES", raising=False)
    assert RunStore.open().kept.root == store.files
    monkeypatch.setenv("OPTIM_FILES", str(tmp_path / "elsewhere"))
    assert RunStore.open().kept.root == tmp_path / "elsewhere"


def test_any_protocol_of_fsspec_is_a_place(tmp_path):
    class Cupboard(LocalFileSystem):
        protocol = ("cupboard",)

    fsspec.register_implementation("cupboard", Cupboard, clobber=True)
    found = open_files(f"cupboard://{tmp_path}/there", tmp_path / "here")
    assert isinstance(found, SharedFiles)
    found.write("a/b", b"x")
    assert (tmp_path / "there" / "a" / "b").read_bytes() == b"x"
    assert found.where("a/b") == f"cupboard://{tmp_path}/there/a/b"


@pytest.mark.parametrize("url", ["memory://optim", "simplecache::s3://bucket", "files", "./files"])
def test_what_others_cannot_reach_is_no_place(tmp_path, url):
    with pytest.raises(ConfigError, match="OPTIM_FILES must be an absolute path or a URL"):
        open_files(url, tmp_path)


def test_a_protocol_nobody_knows_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nosuch.*Protocol not known"):
        open_files("nosuch://bucket", tmp_path)


def test_a_protocol_whose_package_is_missing_says_which(tmp_path, monkeypatch):
    def missing(url):
        raise ImportError("Install s3fs to access S3", name="s3fs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingDependencyError, match="pip install 's3fs'"):
        open_files("s3://bucket/optim", tmp_path)


def test_a_store_reads_what_another_machine_kept(store, take, shared_files):
    store.kept = shared_files
    run = store.submit("count", {"steps": 3})
    perform(Work(run, take(run.id)), KINDS)
    [artefact] = store.artefacts(run.id)
    assert not artefact.path.exists()
    assert store.has(artefact)
    assert store.read(artefact) == chain(3).encode()
    assert store.where(artefact).startswith("memory:///optim/artefacts/")
    shared_files.write(name_of(artefact.hash), b"something")
    with pytest.raises(RunError, match=r"'value.txt' is damaged"):
        store.read(artefact)
    shared_files.remove(name_of(artefact.hash))
    with pytest.raises(RunError, match=r"'value.txt' cannot be read.*OPTIM_FILES"):
        store.read(artefact)


def test_own_protocols_are_those_of_fsspec():
    """A protocol that is renamed there would be let through here."""
    known = set(fsspec.available_protocols())
    assert known >= module._OWN
