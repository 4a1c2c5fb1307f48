"""Uploads are opened in a process of their own, within limits, and never run."""

import contextlib
import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from optim import intake
from optim.data.added import data_cards, open_registered_data
from optim.errors import DataError, RunError, UnsupportedModelError
from optim.hashing import digest, digest_bytes
from optim.intake import Upload, take_data, take_model, take_pair
from optim.models.cards import model_cards
from optim.models.open import open_registered_model
from optim.models.zoo import ZOO
from optim.processes import child_environment

RUN = subprocess.run


@pytest.fixture(autouse=True)
def _own(own_home, forked):
    return own_home


@pytest.fixture
def started(monkeypatch):
    """Children that are started as the server starts them."""
    monkeypatch.setattr(subprocess, "run", RUN)


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def image(value):
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_weights_are_taken_in_unlisted(started):
    state = ZOO["mlp"].build((13,), 3, seed=2).state_dict()
    name = take_model(saved(state), "Wine.PT", data="wine", architecture="mlp", title="Mine")
    assert torch.equal(open_registered_model(name).module.fc1.weight, state["fc1.weight"])


def test_the_name_of_an_upload_is_its_owners_and_cannot_be_told_from_the_file():
    content = saved(ZOO["mlp"].build((13,), 3, seed=2).state_dict())

    def take(owner):
        return take_model(content, "m.pt", data="wine", architecture="mlp", owner=owner)

    hers = take("user-ann")
    assert take("user-ann") == hers
    assert take("user-bob") != hers
    assert digest_bytes(content)[:16] not in hers
    assert digest(digest_bytes(content), "wine", "mlp")[:16] not in hers
    assert model_cards()[hers].owner == "user-ann"
    assert not model_cards()[hers].listed


def test_nothing_of_an_upload_stays_behind_whatever_came_of_it(own_home):
    take_model(saved(ZOO["mlp"].build((13,), 3).state_dict()), "m.pt", data="wine")
    with pytest.raises(UnsupportedModelError):
        take_model(b"no model", "m.onnx", data="wine")
    with pytest.raises(DataError):
        take_data(b"no zip", "m.zip")
    assert list((own_home / "cache" / "intake").iterdir()) == []


@pytest.mark.parametrize(
    ("filename", "said"),
    [
        ("my net-2.onnx", "'my net-2.onnx'"),
        ("../../etc/évil?task=x:y.v2.ONNX", "'évil_task_x_y.onnx'"),
        ("C:\\models\\net.onnx", "'net.onnx'"),
        ("a" * 300 + ".onnx", "'" + "a" * 60 + ".onnx'"),
    ],
)
def test_a_refused_file_is_called_as_it_was_uploaded(filename, said):
    with pytest.raises(UnsupportedModelError) as caught:
        take_model(b"no model", filename, data="wine")
    assert caught.value.message.startswith(f"{said} is not a valid ONNX file")


def csv_for_wine():
    wine = open_registered_data("wine").part("train")
    rows = [",".join(map(str, [*x, y])) for x, y in zip(wine.inputs, wine.targets, strict=True)]
    names = ",".join([*(f"c{i}" for i in range(13)), "y"])
    return "\n".join([names, *rows]).encode()


def test_a_pair_is_checked_and_added_by_one_process(monkeypatch):
    asked, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **o: asked.append(a) or run(*a, **o))
    pair = Upload(onnx_for_wine(), "w.onnx", "Mine"), Upload(csv_for_wine(), "w.csv", "Rows")
    doubted = take_pair(*pair, options={})
    assert doubted["check"]["is_near_chance"]
    assert (doubted["model"], doubted["data"]) == ("", "")
    assert not any(name.startswith("my-") for name in {**model_cards(), **data_cards()})
    unjudged = take_pair(*pair, options={}, task="outputs", owner="user-ann")
    assert unjudged["check"]["accuracy"] is None
    card = model_cards()[unjudged["model"]]
    assert (card.title, card.data, card.task) == ("Mine", unjudged["data"], "outputs")
    assert data_cards()[unjudged["data"]].title == "Rows"
    kept = take_pair(*pair, options={}, anyway=True)
    assert kept["check"] is None
    assert open_registered_model(kept["model"]).task.n_classes == 3
    again = take_pair(kept["model"], kept["data"], options={"split": "made"}, anyway=True)
    assert again["model"] == kept["model"]
    assert data_cards()[again["data"]].options == {"split": "made"}
    same = take_pair(kept["model"], "wine", options={}, anyway=True)
    assert same["data"] == "wine"
    made = take_pair(pair[0], "generated", options={})
    assert made["data"] == "generated"
    assert made["check"]["suggestions"] == []
    assert len(asked) == 6


def onnx_for_wine(**changes):
    nodes = changes.get("nodes") or [helper.make_node("Gemm", ["x", "w"], ["y"], name="last")]
    weight = changes.get("weight") or numpy_helper.from_array(
        np.arange(39, dtype=np.float32).reshape(13, 3), "w"
    )
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 13])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own.domain", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def test_an_onnx_file_is_taken_in_and_can_be_changed():
    name = take_model(onnx_for_wine(), "Wine.ONNX", data="wine", title="Mine")
    module = open_registered_model(name).module
    assert module.last.weight.T.flatten().tolist() == list(range(39))


def outside_onnx(location="/etc/passwd"):
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[13, 3])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return onnx_for_wine(weight=weight)


@pytest.mark.parametrize("home", [None, "store here"])
def test_a_file_is_opened_in_an_empty_folder(home, own_home, tmp_path, monkeypatch):
    seen = []

    def look(command, **options):
        seen.append((list(options["cwd"].iterdir()), options["env"].get("OPTIM_HOME")))
        return RUN([sys.executable, "-c", 'print(\'{"answer": "x"}\')'], **options)

    monkeypatch.chdir(tmp_path)
    if home:
        monkeypatch.setenv("OPTIM_HOME", home)
    monkeypatch.setattr(subprocess, "run", look)
    assert take_model(onnx_for_wine(), "w.onnx", data="wine") == "x"
    assert seen == [([], str(tmp_path / home if home else own_home))]


def node(op_type, inputs, outputs, **attributes):
    return helper.make_node(op_type, inputs, outputs, **attributes)


def outside_in_a_branch():
    """Return a model that reads, in both branches of an ``If``, what lies in the working folder."""

    def branch(name):
        weight = onnx.ModelProto.FromString(outside_onnx("secrets.bin")).graph.initializer[0]
        weight.name = name
        shown = helper.make_tensor_value_info(f"{name}2", TensorProto.FLOAT, [13, 3])
        return helper.make_graph(
            [node("Identity", [name], [f"{name}2"])], name, [], [shown], [weight]
        )

    branches = {"then_branch": branch("a"), "else_branch": branch("b")}
    return onnx_for_wine(
        nodes=[
            node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
            node("If", ["yes"], ["v"], **branches),
            node("Gemm", ["x", "v"], ["y"]),
        ]
    )


HOSTILE_ONNX = {
    "outside in a branch": outside_in_a_branch,
    "numbers in itself": lambda: outside_onnx("evil.onnx"),
    "no model": lambda: b"\x00" * 400,
    "cut off": lambda: onnx_for_wine()[:-40],
    "outside": outside_onnx,
    "a cycle": lambda: onnx_for_wine(
        nodes=[node("Add", ["x", "b"], ["a"]), node("Gemm", ["a", "w"], ["b"])]
    ),
    "text": lambda: onnx_for_wine(
        weight=helper.make_tensor("w", TensorProto.STRING, [13, 3], [b"a"] * 39)
    ),
    "own operators": lambda: onnx_for_wine(
        nodes=[node("Evil", ["x", "w"], ["y"], domain="own.domain")]
    ),
    "too many nodes": lambda: onnx_for_wine(
        nodes=[node("Identity", ["x"], [f"v{i}"]) for i in range(50_001)]
    ),
    "much out of little": lambda: onnx_for_wine(
        nodes=[
            node("Constant", [], ["n"], value_ints=[2**40]),
            node("ConstantOfShape", ["n"], ["z"]),
            node("ReduceSum", ["z"], ["s"], keepdims=0),
            node("Gemm", ["x", "w"], ["g"]),
            node("Add", ["g", "s"], ["y"]),
        ]
    ),
}


@pytest.mark.parametrize("make", HOSTILE_ONNX.values(), ids=HOSTILE_ONNX)
def test_a_hostile_onnx_file_is_refused_in_one_sentence(make, tmp_path, monkeypatch):
    (tmp_path / "secrets.bin").write_bytes(bytes(13 * 3 * 4))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsupportedModelError) as caught:
        take_model(make(), "evil.onnx", data="wine")
    assert caught.value.message.count("\n") == 0
    assert "tmp" not in str(caught.value)
    assert model_cards().keys() == {c for c in model_cards() if not c.startswith("my-")}


def test_a_pickle_does_not_run_and_the_message_names_no_path(tmp_path):
    proof = tmp_path / "it-ran"
    for content in (pickle.dumps(Payload(proof)), saved({"w": Payload(proof)})):
        with pytest.raises(
            UnsupportedModelError, match=r"'evil.pt' is not a plain state dict"
        ) as e:
            take_model(content, "../../evil.pt", data="wine", architecture="mlp")
        assert "optim-" not in str(e.value)
        assert "tmp" not in str(e.value)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["m.pt2", "m.pkl", "m", "m.ort", "m.py", ".pt/..", "m.pt\0.sh"])
def test_other_endings_are_refused_without_a_process(name, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("started a process"))
    with pytest.raises(UnsupportedModelError, match="A model file ends in"):
        take_model(b"", name, data="wine")
    with pytest.raises(UnsupportedModelError, match=r"A data file ends in \.zip"):
        take_data(b"", name)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_program_is_taken_where_the_operator_trusts_everybody(monkeypatch):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(13, 3)), buffer)
    with pytest.raises(UnsupportedModelError, match="A model file ends in"):
        take_model(buffer.getvalue(), "m.ts", data="wine")
    with pytest.raises(UnsupportedModelError, match="program; opening it runs its code"):
        take_model(buffer.getvalue(), "m.pt", data="wine")
    monkeypatch.setenv("OPTIM_TRUST_PROGRAMS", "1")
    for ending in (".ts", ".pt"):
        name = take_model(buffer.getvalue(), f"m{ending}", data="wine", title="Mine")
        card = model_cards()[name]
        assert (card.title, card.macs) == ("Mine", 39)


def test_a_zip_of_class_folders_is_taken_in():
    members = {f"{c}/{i}.png": image(40 * i) for c in ("cat", "dog") for i in range(3)}
    name = take_data(zipped(members), "pets.zip", title="Pets")
    assert open_registered_data(name).parts == {"all": 6}
    assert data_cards()[name].title == "Pets"
    assert data_cards()[name].listed is False


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def tarred(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def table(n=40):
    return "a,b,y\n" + "\n".join(f"{i}.5,{'xyz'[i % 3]},{i % 2}" for i in range(n))


def parquet(n=40):
    pandas = pytest.importorskip("pandas", reason="writes Parquet")
    buffer = io.BytesIO()
    pandas.read_csv(io.StringIO(table(n))).to_parquet(buffer)
    return buffer.getvalue()


X, Y = np.zeros((6, 8, 8, 3), np.uint8), np.arange(6) % 2
IDX = bytes([0, 0, 8, 3, 0, 0, 0, 6, 0, 0, 0, 8, 0, 0, 0, 8]) + bytes(6 * 64)
CUT = {"train": 24, "validation": 8, "test": 8}
FORMATS = {
    "npz": (npz(x=X, y=Y), "Data.NPZ", {"all": 6}, 2),
    "npz without labels": (npz(x=X), "data.npz", {"all": 6}, 0),
    "npy": (io.BytesIO(), "data.npy", {"all": 6}, 0),
    "csv": (table().encode(), "my table.csv", CUT, 2),
    "tsv": (table().replace(",", "\t").encode(), "data.tsv", CUT, 2),
    "parquet": (parquet, "data.parquet", CUT, 2),
    "idx": (IDX, "images.idx", {"all": 6}, 0),
    "tar": (
        tarred({f"{c}/{i}.png": image(40 * i) for c in ("cat", "dog") for i in range(3)}),
        "pets.tar.gz",
        {"all": 6},
        2,
    ),
    "cifar": (
        tarred({"cifar-10-batches-bin/test_batch.bin": bytes(range(4)) * 3073}),
        "cifar-10-binary.tgz",
        {"all": 4},
        10,
    ),
}


@pytest.mark.parametrize(("content", "name", "parts", "classes"), FORMATS.values(), ids=FORMATS)
def test_every_format_is_taken_in(content, name, parts, classes):
    if isinstance(content, io.BytesIO):
        np.save(content, X)
        content = content.getvalue()
    content = content() if callable(content) else content
    added = take_data(content, name, title="Mine")
    data = open_registered_data(added)
    assert (data.parts, data.task.n_classes) == (parts, classes)
    assert data_cards()[added].n_classes == classes
    assert not data_cards()[added].listed


def test_options_come_along_and_stay_in_the_card():
    name = take_data(npz(x=X, y=Y, z=Y[::-1]), "a.npz", options={"target": "z", "resize": "4,4"})
    data = open_registered_data(name)
    assert data.input_shape == (3, 4, 4)
    assert data.targets("all").tolist() == Y[::-1].tolist()
    assert data_cards()[name].options == {"target": "z", "resize": [4, 4]}


HOSTILE = {
    "a shape beyond the file": (
        b"\x93NUMPY\x01\0\x4c\0{'descr': '<f8', 'fortran_order': False, "
        b"'shape': (999999999, 999999999), }\n",
        "a.npy",
        "declares 7,999,999,984,000,000,008 bytes and holds 0",
    ),
    "objects": (npz(x=np.array([{}])), "a.npz", "Python objects, which are never loaded"),
    "bomb": (npz(x=np.zeros(64_000_000, np.uint8)), "a.npz", "200 times its size"),
    "gzip bomb": (gzip.compress(bytes(300_000_000)), "a.tar.gz", "200 times its size"),
    "tar that leaves": (tarred({"../../evil/1.png": b"x"}), "a.tgz", "outside the tar"),
    "a million columns": (b"a" + b",1" * 10**6, "a.csv", "columns: at most"),
    "no finite value": (npz(x=np.full((9, 2), np.nan), y=np.arange(9)), "a.npz", "not finite"),
    "one class": (npz(x=X, y=Y * 0), "a.npz", "of one class"),
    "empty table": (b"", "a.csv", "'a.csv' is empty"),
    "empty array": (b"", "a.npy", "is empty: it has 0 bytes"),
    "no parquet": (b"PAR1" * 20, "a.parquet", "is not a Parquet file"),
    "unknown option": (npz(x=X, y=Y), "a.npz", "no labels 'w'|no array 'w'"),
}


@pytest.mark.parametrize(("content", "name", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_data_are_one_sentence_and_leave_nothing(content, name, reason, own_home):
    options = {"target": "w"} if "'w'" in reason else {}
    with pytest.raises(DataError, match=reason) as caught:
        take_data(content, name, options=options)
    assert "optim-" not in str(caught.value)
    assert "tmp" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(own_home.rglob("*.json"))
    assert not list(own_home.parent.rglob("evil"))


def test_a_zip_bomb_is_refused():
    with pytest.raises(DataError):
        take_data(zipped({"a/1.png": bytes(200_000_000), "b/1.png": image(1)}), "bomb.zip")


@pytest.mark.parametrize("name", ["../../evil/1.png", "/etc/cron.d/1.png", "a/../../../b/1.png"])
def test_paths_in_an_archive_lead_nowhere(name, own_home):
    data = zipped({name: image(1), "a/1.png": image(2), "b/1.png": image(3)})
    with contextlib.suppress(DataError):
        take_data(data, "x.zip")
    assert list(own_home.parent.rglob("*.png")) == []


def test_what_the_process_does_not_answer_is_a_sentence(monkeypatch):
    class Done:
        stdout = ""

    monkeypatch.setattr(subprocess, "run", lambda *a, **k: Done())
    with pytest.raises(RunError, match="within the limits of memory and time"):
        take_model(b"x", "m.pt", data="wine")


def test_too_long_is_a_sentence(monkeypatch):
    def late(*args, **options):
        raise subprocess.TimeoutExpired("x", 1)

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(RunError, match="took too long"):
        take_model(b"x", "m.pt", data="wine")


def limited(code):
    """Run code behind the limits of an intake process, made small."""
    script = (
        "from optim.processes import limit_resources\n"
        f"limit_resources(2**29, cpu_s=2, write_bytes=2**20)\n{code}"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")
@pytest.mark.parametrize(
    "code",
    [
        "bytearray(2**30)",
        "open('big', 'wb').write(bytes(2**21))",
        "while True: pass",
    ],
    ids=["memory", "disk", "time"],
)
def test_the_process_cannot_take_more_than_its_share(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert limited(code).returncode != 0
    assert limited("print('fine')").stdout == "fine\n"


@pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")
def test_the_limits_hold_before_the_file_is_looked_at():
    script = (
        "import resource\n"
        "from optim import intake\n"
        "intake._add = lambda *request: str(resource.getrlimit(resource.RLIMIT_AS)[0])\n"
        "intake.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(
            {"question": "take model", "about": {"model": {"path": "x"}}, "arguments": {}}
        ),
        capture_output=True,
        text=True,
        check=True,
        env=child_environment(),
    )
    assert json.loads(done.stdout) == {"answer": str(intake._MEMORY_BYTES)}


@pytest.mark.parametrize("name", ["m.onnx", "m.safetensors", "m.pt"])
def test_an_empty_file_is_called_empty_without_a_process(name, monkeypatch):
    monkeypatch.setattr(intake, "ask_child", lambda *asked, **more: pytest.fail("was asked"))
    with pytest.raises(DataError, match=f"'{name}' is empty"):
        take_model(b"", name, data="wine")
