"""The shape of the house: what may import what, what is public, and what stays light."""

import ast
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROOMS = (
    # What every room may lean on: errors, numbers, fields, hashes, files, processors, processes.
    {
        "errors",
        "quantity",
        "fields",
        "hashing",
        "instructions",
        "storage",
        "device",
        "processes",
        "access",
        "optional",
        "licences",
        "allocation",
        "aside",
    },
    {"layers", "codecs", "data", "graph", "models"},
    {"runtime", "devices"},
    {"measure", "train"},
    {"step", "techniques"},
    {"recipe", "order"},
    # A recipe opened: its model and data; and recipes to start from.
    {"subject", "presets", "stored", "recovery", "pairs"},
    {"export", "library", "ladder"},
    {"whatif", "runner", "alternatives", "sweet_spot", "sensitivity", "inspect", "compare"},
    {"search"},
    # What is shown to who learns, computed live.
    {"lessons", "challenges", "share"},
    # Verbs for those who operate it: uploads, shipped checkpoints, the pipeline gate.
    {"first_look", "intake", "pretrain", "gate"},
    # Work that outlives who asked for it.
    {"runs"},
    # Whose all of that is, and what is said of it.
    {"belongings", "report", "workshop"},
    {"cli"},
)
"""The rooms of ``optim`` from the bottom up; a module may import its own room and those below."""

BASES = ("Step", "TaughtStep", "TrainingStep")
"""What techniques derive from; the last two are made of the first, and no techniques."""

DOORS = {"__init__", "__main__"}
"""The package's own front: names that are looked up late, and the command."""


def modules(*folders):
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if "__pycache__" not in path.parts]


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(node):
    """Return the dotted names a node imports: of ``from a import b`` both ``a`` and ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


@cache
def imports_of(path):
    return {name for node in ast.walk(tree_of(path)) for name in imported(node)}


def room_of(name):
    """Return the first name below ``optim`` of a dotted name, or an empty string."""
    parts = name.split(".")
    return parts[1] if parts[0] == "optim" and len(parts) > 1 else ""


def own_room(path):
    return path.relative_to(ROOT / "optim").with_suffix("").parts[0]


LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
NAMES = {own_room(path) for path in modules("optim")} - DOORS


def test_every_module_of_optim_has_a_room():
    assert sorted(NAMES - LEVEL.keys()) == []


@pytest.mark.parametrize("path", modules("optim"), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path):
    room = own_room(path)
    level = len(ROOMS) if room in DOORS else LEVEL[room]
    upward = [
        name for name in imports_of(path) if room_of(name) in NAMES and LEVEL[room_of(name)] > level
    ]
    assert upward == []


def test_rooms_of_one_level_do_not_need_each_other_in_a_circle():
    needs = defaultdict(set)
    for path in modules("optim"):
        if own_room(path) not in DOORS:
            others = {room_of(name) for name in imports_of(path)} & NAMES
            needs[own_room(path)] |= others - {own_room(path)}
    order, open_ = [], []

    def visit(room):
        assert room not in open_, f"{' -> '.join([*open_, room])}"
        if room not in order:
            open_.append(room)
            for other in sorted(needs[room]):
                visit(other)
            order.append(open_.pop())

    for room in sorted(NAMES):
        visit(room)
    assert set(order) >= NAMES


def test_techniques_do_not_import_each_other():
    folder = ROOT / "optim" / "techniques"
    names = {path.stem for path in folder.glob("*.py")} - {"__init__", "training", "pruning"}
    for name in names:
        others = {f"optim.techniques.{other}" for other in names - {name}} | {"optim.techniques"}
        assert imports_of(folder / f"{name}.py").isdisjoint(others), name


@pytest.mark.parametrize(
    "family",
    [
        "budgets",
        "calibrations",
        "criteria",
        "equalisations",
        "importances",
        "roundings",
        "transfers",
    ],
)
def test_methods_do_not_import_each_other(family):
    folder = ROOT / "optim" / "techniques" / family
    names = {path.stem for path in folder.glob("*.py")} - {"__init__", "method"}
    for name in names:
        others = {f"optim.techniques.{family}.{other}" for other in names - {name}}
        assert imports_of(folder / f"{name}.py").isdisjoint(others), name


def classes_in(folder, base):
    """Return ``{file stem: class name}`` of the classes that derive from a base in a folder."""
    return {
        path.stem: node.name
        for path in sorted(folder.glob("*.py"))
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(b, ast.Name) and b.id == base for b in node.bases)
    }


def test_every_file_of_a_technique_is_in_the_index():
    from optim.techniques import TECHNIQUES

    folder = ROOT / "optim" / "techniques"
    written = {name: cls for base in BASES for name, cls in classes_in(folder, base).items()}
    assert written.pop("training") in BASES
    assert {name: cls.__name__ for name, cls in TECHNIQUES.items()} == written


@pytest.mark.parametrize(
    ("family", "base"),
    [
        ("importances", "ImportanceMethod"),
        ("budgets", "BudgetMethod"),
        ("calibrations", "CalibrationMethod"),
        ("criteria", "CriterionMethod"),
        ("equalisations", "EqualisationMethod"),
        ("roundings", "RoundingMethod"),
        ("transfers", "TransferMethod"),
    ],
)
def test_every_file_of_a_method_is_in_its_index(family, base):
    from optim.techniques.budgets import BUDGETS
    from optim.techniques.calibrations import CALIBRATIONS, WEIGHT_CALIBRATIONS
    from optim.techniques.criteria import CRITERIA
    from optim.techniques.equalisations import EQUALISATIONS
    from optim.techniques.importances import IMPORTANCES
    from optim.techniques.roundings import ROUNDINGS
    from optim.techniques.transfers import TRANSFERS

    index = {
        "importances": IMPORTANCES,
        "budgets": BUDGETS,
        "calibrations": CALIBRATIONS | WEIGHT_CALIBRATIONS,
        "criteria": CRITERIA,
        "equalisations": EQUALISATIONS,
        "roundings": ROUNDINGS,
        "transfers": TRANSFERS,
    }[family]
    written = classes_in(ROOT / "optim" / "techniques" / family, base)
    assert {name: cls.__name__ for name, cls in index.items()} == written


def test_every_architecture_is_in_the_zoo():
    from optim.models.zoo import ARCHITECTURES, ZOO

    written = classes_in(ROOT / "optim" / "models", "Architecture")
    assert {cls.__name__ for cls in ARCHITECTURES.values()} == set(written.values())
    assert {type(architecture) for architecture in ZOO.values()} == set(ARCHITECTURES.values())


# --- what stays out -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", modules("optim"), ids=lambda p: str(p.relative_to(ROOT)))
def test_optim_knows_nothing_of_the_pages(path):
    outside = {name.split(".")[0] for name in imports_of(path)}
    assert outside.isdisjoint({"streamlit", "pages", "plotly", "pandas", "app", "tests", "bench"})


@pytest.mark.parametrize("path", modules("optim", "pages"), ids=lambda p: str(p.relative_to(ROOT)))
def test_torch_never_hands_out_its_optim(path):
    """``from torch import optim`` would hide this package under the same name."""
    assert "torch.optim" not in imports_of(path)


@pytest.mark.parametrize("path", modules("pages"), ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_compute_nothing_themselves(path):
    heavy = {"torch", "onnx", "onnxruntime", "sklearn", "scipy", "torch_pruning"}
    assert {name.split(".")[0] for name in imports_of(path)}.isdisjoint(heavy)


@pytest.mark.parametrize("path", modules("optim"), ids=lambda p: str(p.relative_to(ROOT)))
def test_libraries_do_not_print(path):
    if own_room(path) in ("cli", "__main__"):
        pytest.skip("the command line is there to print")
    calls = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "print"
    ]
    assert calls == []


@pytest.mark.parametrize("path", modules("optim"), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_failure_is_swallowed(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
            silent = all(isinstance(line, ast.Pass) for line in node.body)
            everything = isinstance(node.type, ast.Name) and node.type.id == "Exception"
            assert not (silent and everything), f"line {node.lineno}: except Exception: pass"


# --- what is public -----------------------------------------------------------------------------


def is_command(node):
    calls = [d.func for d in node.decorator_list if isinstance(d, ast.Call)]
    return any(isinstance(f, ast.Attribute) and f.attr in ("command", "callback") for f in calls)


def public_names(path):
    """Return the list ``__all__``, the public classes and functions, and all other names.

    Commands are public on the command line and not as functions.
    """
    listed, made, values = None, set(), set()
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            (values if is_command(node) else made).add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            values |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values |= {name.id for name in names if isinstance(name, ast.Name)}
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            listed = ast.literal_eval(node.value)
    return listed, {name for name in made if not name.startswith("_")}, values


PUBLIC = [p for p in modules("optim", "pages/components") if public_names(p)[1]]


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_list_of_public_names_is_true(path):
    listed, made, values = public_names(path)
    assert listed is not None, "a module with public names lists them in __all__"
    assert len(set(listed)) == len(listed)
    assert set(listed) <= made | values, "listed, and not there"
    assert made <= set(listed), "there, and not listed; give it a leading underscore or list it"


def test_what_one_module_takes_from_another_is_public_there():
    files = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
        for p in modules("optim", "pages/components")
    }
    hidden = []
    for path in modules("optim", "pages"):
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ImportFrom) or node.module not in files:
                continue
            listed = public_names(files[node.module])[0] or []
            hidden += [
                f"{path.relative_to(ROOT)} takes {alias.name} from {node.module}"
                for alias in node.names
                if alias.name not in listed and f"{node.module}.{alias.name}" not in files
            ]
    assert hidden == []


# --- what stays light ---------------------------------------------------------------------------


def heavy_after(code):
    """Run code in a fresh interpreter and return which heavy packages it loaded."""
    report = (
        f"{code}\nimport sys\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'sklearn', 'scipy', 'torch_pruning'}\n"
        "print(','.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "name",
    [
        "optim",
        "optim.techniques",
        "optim.models.zoo",
        "optim.data",
        "optim.devices",
        "optim.presets",
    ],
)
def test_importing_loads_nothing_heavy(name):
    assert heavy_after(f"import {name}") == ""


def test_the_web_server_loads_nothing_heavy():
    """Everything that app.py and the pages import, without running a page."""
    names = sorted(
        name
        for path in [ROOT / "app.py", *modules("pages")]
        for name in imports_of(path)
        if name.startswith(("optim.", "pages."))
    )
    files = [n for n in names if (ROOT / f"{n.replace('.', '/')}.py").is_file()]
    packages = [n for n in names if (ROOT / n.replace(".", "/") / "__init__.py").is_file()]
    assert "optim.whatif.evaluators" in files
    code = "\n".join(f"import {name}" for name in dict.fromkeys([*files, *packages]))
    assert heavy_after(code) == ""


def test_the_application_loads_nothing_heavy():
    assert heavy_after("import app") == ""


def test_every_control_is_found_without_torch():
    code = (
        "from optim.fields import controls\n"
        "from optim.models.zoo import ARCHITECTURES\n"
        "from optim.techniques import TECHNIQUES\n"
        "for cls in [*TECHNIQUES.values(), *ARCHITECTURES.values()]:\n"
        "    assert [control.to_json() for control in controls(cls)]\n"
        "    cls()"
    )
    assert heavy_after(code) == ""
