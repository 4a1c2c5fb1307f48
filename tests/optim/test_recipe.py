"""Recipes: written and read back, refused with a message, edited, and identified."""

import base64
import json
import zlib
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.errors import ConfigError
from optim.fields import Choice, Method, Range, controls
from optim.hashing import digest
from optim.recipe import VERSION, Entry, Recipe
from optim.techniques import TECHNIQUES
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm

TEXT = """\
version: 2
model: resnet20:../shared/data/weights/resnet20_cifar10_jpeg.safetensors
data: ../shared/data/cifar10
seed: 0
steps:
  - prune_channels: {pruning_ratio: 0.3, importance: magnitude, scope: global}
  - reestimate_batchnorm: {}
  - quantize: {weight_bits: 8, activation_bits: 8, calibration: mse}
"""


@pytest.fixture
def recipe():
    return (
        Recipe("m", "d", seed=3)
        .with_step(PruneChannels(pruning_ratio=0.4))
        .with_step(PruneWeights(sparsity=0.5))
        .with_step(ReestimateBatchNorm())
        .with_step(Quantize(weight_bits=4))
    )


# --- written forms ------------------------------------------------------------------------------


def test_a_recipe_reads_as_it_is_documented():
    recipe = Recipe.from_yaml(TEXT)
    assert [entry.name for entry in recipe.entries] == [
        "prune_channels",
        "reestimate_batchnorm",
        "quantize",
    ]
    assert recipe.entries[0].step.pruning_ratio == 0.3
    assert recipe.entries[0].step.scope == "global"


def settings_of(cls):
    """Draw settings of a technique from what its fields allow."""
    fields = {}
    for control in controls(cls):
        kind = control.kind
        if isinstance(kind, Range):
            whole = isinstance(control.default, int)
            fields[control.name] = st.sampled_from(
                [int(s) if whole else s for s in kind.stops()[:200]]
            )
        elif isinstance(kind, Choice):
            fields[control.name] = st.sampled_from(list(kind.options))
        elif isinstance(kind, Method):
            fields[control.name] = st.sampled_from(list(kind.family))
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: cls(**values))


@st.composite
def recipes(draw):
    steps = draw(
        st.lists(st.sampled_from(list(TECHNIQUES)).flatmap(lambda n: settings_of(TECHNIQUES[n])))
    )[:6]
    entries = tuple(
        Entry(f"{draw(st.text(min_size=1, max_size=20))}#{i}", step, draw(st.booleans()))
        for i, step in enumerate(sorted(steps, key=lambda s: not s.requires))
    )
    # Steps that change floats come before they are gone, those that need them gone behind that.
    late = [e for e in entries if "float" in e.step.removes]
    early = [e for e in entries if "float" in e.step.requires and e not in late]
    rest = [e for e in entries if e not in late and e not in early]
    if not any(e.is_active for e in late[:1]):
        rest = [e for e in rest if "quantized" not in e.step.requires]
    name = st.text(min_size=1, max_size=60)
    return Recipe(
        draw(name),
        draw(name),
        (*early, *late[:1], *rest),
        draw(st.integers(0, 2**31 - 1)),
        draw(st.sampled_from(["auto", "train", "test"])),
    )


@given(recipe=recipes())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_any_recipe_comes_back_from_every_written_form(recipe):
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert Recipe.from_link(recipe.to_link()) == recipe
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert Recipe.from_yaml(recipe.to_yaml()).hash == recipe.hash


def test_yaml_has_one_step_a_line(recipe):
    lines = recipe.to_yaml().splitlines()
    assert lines[:4] == ["version: 2", "model: m", "data: d", "seed: 3"]
    assert lines[5] == "  - prune_channels: {pruning_ratio: 0.4}"
    assert len(lines) == 9


def test_a_recipe_without_steps_comes_back():
    assert Recipe.from_yaml(Recipe("m", "d").to_yaml()) == Recipe("m", "d")


def test_json_is_yaml(recipe):
    assert Recipe.from_yaml(json.dumps(recipe.to_json())) == recipe


def test_a_file_is_read(tmp_path, recipe):
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    with pytest.raises(ConfigError, match=r"'missing\.yaml' cannot be read"):
        Recipe.load(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        Recipe.load(tmp_path / "binary.yaml")


def test_a_link_fits_into_an_address(recipe):
    link = recipe.to_link()
    assert len(link) < 400
    assert set(link) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


# --- refused ------------------------------------------------------------------------------------

GOOD = {"version": 2, "model": "m", "data": "d"}

REFUSED = {
    "no mapping": ([], "A recipe is a mapping: got list", ""),
    "no version": (
        {"model": "m", "data": "d"},
        "version must be 2, or 1 for an older recipe: got None",
        "version",
    ),
    "too new": (
        {**GOOD, "version": VERSION + 1},
        "version must be 2, or 1 for an older recipe: got 3",
        "version",
    ),
    "unknown key": ({**GOOD, "steos": []}, "has no field 'steos'", "steos"),
    "true": ({**GOOD, "version": True}, "for an older recipe: got True", "version"),
    "a list": ({**GOOD, "version": [1]}, "for an older recipe: got [1]", "version"),
    "no model": ({"version": 2, "data": "d"}, "model must be a name: got None", "model"),
    "model of numbers": ({**GOOD, "model": 3}, "model must be a name: got 3", "model"),
    "empty data": ({**GOOD, "data": ""}, "data must be a name: got ''", "data"),
    "seed": ({**GOOD, "seed": -1}, "seed must be a whole number", "seed"),
    "seed of text": ({**GOOD, "seed": "x"}, "seed must be a whole number", "seed"),
    "split": ({**GOOD, "split": "val"}, "split must be one of auto, train, test", "split"),
    "split list": ({**GOOD, "split": ["auto"]}, "split must be one of", "split"),
    "steps": ({**GOOD, "steps": {"quantize": {}}}, "steps must be a list", "steps"),
    "too many": ({**GOOD, "steps": ["quantize"] * 41}, "at most 40 steps", "steps"),
    "technique": (
        {**GOOD, "steps": [{"prune": {}}]},
        "must name one technique: got prune",
        "steps.1",
    ),
    "two": (
        {**GOOD, "steps": ["quantize", {"quantize": {}, "distill": {}}]},
        "Step 2 must name one technique: got quantize, distill",
        "steps.2",
    ),
    "nothing": ({**GOOD, "steps": [{}]}, "got none", "steps.1"),
    "a number": ({**GOOD, "steps": [3]}, "Step 1 must be {technique: fields}: got 3", "steps.1"),
    "fields": ({**GOOD, "steps": [{"quantize": [1]}]}, "fields of quantize must be", "steps.1"),
    "id": ({**GOOD, "steps": [{"quantize": {}, "id": 3}]}, "id must be a short text", "steps.1"),
    "long id": ({**GOOD, "steps": [{"quantize": {}, "id": "a" * 61}]}, "short text", "steps.1"),
    "enabled": (
        {**GOOD, "steps": [{"quantize": {}, "enabled": "yes"}]},
        "enabled must be true or false",
        "steps.1",
    ),
    "same id": (
        {**GOOD, "steps": [{"quantize": {}, "id": "a"}, {"correct_bias": {}, "id": "a"}]},
        "id of its own",
        "",
    ),
    "field": (
        {**GOOD, "steps": [{"quantize": {"weight_bits": 9}}]},
        "quantize: weight_bits must be one of ternary, 2, 3",
        "quantize.weight_bits",
    ),
    "unknown field": (
        {**GOOD, "steps": [{"quantize": {"bits": 8}}]},
        "has no field 'bits'",
        "quantize.bits",
    ),
    "nested field": (
        {**GOOD, "steps": [{"prune_channels": {"importance": {"taylor": {"samples": 1}}}}]},
        "must be between 64 and 2048: got 1",
        "prune_channels.importance.samples",
    ),
    "order": (
        {**GOOD, "steps": ["quantize", "prune_weights"]},
        "'Prune weights' changes floating-point weights and must come before 'Quantize'",
        "prune_weights",
    ),
    "quantized training of floats": (
        {**GOOD, "steps": ["finetune_quantized", "quantize"]},
        "trains weights that lie on a grid and must come after 'Quantize'",
        "finetune_quantized",
    ),
    "quantized twice": (
        {**GOOD, "steps": ["quantize", "quantize"]},
        "'Quantize' stands in the recipe twice",
        "quantize-2",
    ),
}


OLDER = {
    "fields": ([{"prune_channels": {"pruning_ratio": 0.5}}], 1),
    "a name alone": (["prune_channels"], 1),
    "no fields": ([{"prune_channels": None, "id": "first"}], 1),
    "said": ([{"prune_channels": {"round_to": 8}}], 8),
}


@pytest.mark.parametrize(("steps", "round_to"), OLDER.values(), ids=OLDER)
def test_an_older_recipe_means_what_it_meant(steps, round_to):
    old = Recipe.from_json({"version": 1, "model": "m", "data": "d", "steps": steps})
    assert old.entries[0].step.round_to == round_to
    assert Recipe.from_json(old.to_json()) == old
    assert Recipe.from_json({**GOOD, "steps": ["prune_channels"]}).entries[0].step == (
        TECHNIQUES["prune_channels"]()
    )


def test_steps_may_be_a_tuple():
    steps = ({"prune_channels": {}},)
    assert Recipe.from_json({**GOOD, "version": 1, "steps": steps}).entries[0].step.round_to == 1


@pytest.mark.parametrize("steps", ["prune_channels", [3], [{"prune_channels": 3}], [["quantize"]]])
def test_an_older_recipe_that_is_wrong_is_refused_like_any_other(steps):
    messages = set()
    for version in (1, 2):
        with pytest.raises(ConfigError) as caught:
            Recipe.from_json({**GOOD, "version": version, "steps": steps})
        messages.add(caught.value.message)
    assert len(messages) == 1


@pytest.mark.parametrize(("data", "message", "field"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named(data, message, field):
    with pytest.raises(ConfigError) as caught:
        Recipe.from_json(data)
    assert message in caught.value.message
    assert caught.value.field == field
    link = base64.urlsafe_b64encode(zlib.compress(json.dumps(data).encode())).decode()
    with pytest.raises(ConfigError, match=r"^"):
        Recipe.from_link(link)


def test_an_unknown_key_comes_with_those_that_are_known():
    with pytest.raises(ConfigError) as caught:
        Recipe.from_json({**GOOD, "steos": []})
    assert caught.value.hint == "Its fields are: data, model, seed, split, steps, version."


@pytest.mark.parametrize(
    "text", ["a: [", "\t- x", "!!python/object/apply:os.system ['true']", "&a [*a]"]
)
def test_yaml_that_is_none_or_more_than_data_is_refused(text):
    with pytest.raises(ConfigError):
        Recipe.from_yaml(text)


def test_yaml_runs_nothing(tmp_path):
    proof = tmp_path / "it-ran"
    with pytest.raises(ConfigError, match="not valid YAML"):
        Recipe.from_yaml(f"!!python/object/apply:os.system ['touch {proof}']")
    assert not proof.exists()


def test_a_link_that_unpacks_to_far_more_is_not_unpacked():
    with pytest.raises(ConfigError, match="is too large"):
        Recipe.from_link(LINKS["bomb"])


def test_references_that_multiply_are_refused_quickly():
    """Ten references to ten references ...: data of 10^9 entries in a few lines."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for above, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{above}'] * 10)}]")
    with pytest.raises(ConfigError):
        Recipe.from_yaml("\n".join([*lines, "version: 1", "model: m", "data: d", "steps: *i"]))


LINKS = {
    "empty": "",
    "no base64": "§§§",
    "no zip": base64.urlsafe_b64encode(b"hello").decode(),
    "cut": Recipe.from_yaml(TEXT).to_link()[:-9],
    "one character": "A",
    "no JSON": base64.urlsafe_b64encode(zlib.compress(b"{")).decode(),
    "too deep": base64.urlsafe_b64encode(zlib.compress(b"[" * 60_000)).decode(),
    "bomb": base64.urlsafe_b64encode(zlib.compress(bytes(10**8), 9)).decode(),
    "a list": base64.urlsafe_b64encode(zlib.compress(b"[1]")).decode(),
    "huge number": base64.urlsafe_b64encode(zlib.compress(b"9" * 6000)).decode(),
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_link_from_anybody_is_refused_with_a_message(link):
    with pytest.raises(ConfigError):
        Recipe.from_link(link)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_link_raises_anything_else(data):
    text = base64.urlsafe_b64encode(data).decode()
    with pytest.raises(ConfigError):
        Recipe.from_link(text)


# --- editing ------------------------------------------------------------------------------------


def test_editing_gives_another_recipe(recipe):
    before = recipe.to_json()
    changed = recipe.with_fields("quantize", weight_bits=8)
    assert changed.entry("quantize").step.weight_bits == 8
    assert changed.entry("quantize").step.activation_bits == 8
    assert recipe.to_json() == before
    assert changed.hash != recipe.hash


def test_an_illegal_edit_names_step_and_field(recipe):
    with pytest.raises(ConfigError, match=r"must be between 0 and 0.95: got 2") as caught:
        recipe.with_fields("prune_channels", pruning_ratio=2)
    assert caught.value.field == "prune_channels.pruning_ratio"
    with pytest.raises(ConfigError, match="has no step 'x'; it has prune_channels"):
        recipe.with_fields("x", a=1)
    with pytest.raises(ConfigError, match="has no field 'colour'"):
        recipe.with_fields("quantize", colour=1)


def test_a_second_step_of_a_kind_gets_a_number(recipe):
    more = recipe.with_step(PruneWeights(), 0).with_step(PruneWeights(), 0)
    assert [e.id for e in more.entries][:3] == [
        "prune_weights-3",
        "prune_weights-2",
        "prune_channels",
    ]
    less = more.without("prune_weights-2").with_step(PruneWeights(), 0)
    assert less.entries[0].id == "prune_weights-2"


def test_steps_can_be_moved_where_they_may_stand(recipe):
    moved = recipe.moved("prune_weights", 0)
    assert [e.id for e in moved.entries][:2] == ["prune_weights", "prune_channels"]
    with pytest.raises(ConfigError, match="must come before 'Quantize'"):
        recipe.moved("quantize", 0)


def test_a_step_that_is_off_or_neutral_is_not_active(recipe):
    off = recipe.with_enabled("prune_channels", False)
    neutral = recipe.with_fields("prune_channels", pruning_ratio=0)
    for changed in (off, neutral):
        assert [e.id for e in changed.active] == [
            "prune_weights",
            "reestimate_batchnorm",
            "quantize",
        ]
    assert len(off.entries) == 4


def test_a_step_that_is_off_may_stand_anywhere(recipe):
    assert recipe.with_enabled("quantize", False).moved("quantize", 0).entries[0].id == "quantize"


# --- identity -----------------------------------------------------------------------------------


def test_the_last_step_changes_only_the_last_hash(recipe):
    first, second = (
        recipe.chain("m", "d"),
        recipe.with_fields("quantize", weight_bits=8).chain("m", "d"),
    )
    assert len(first) == 5
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]


def test_a_neutral_step_has_no_hash_of_its_own(recipe):
    neutral = recipe.with_fields("prune_weights", sparsity=0)
    assert neutral.chain("m", "d") == recipe.without("prune_weights").chain("m", "d")


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.chain("other", "d"),
        lambda r: r.chain("m", "other"),
        lambda r: r.chain("m", "d", 64),
        lambda r: Recipe(r.model, r.data, r.entries, 4).chain("m", "d"),
        lambda r: r.with_fields("prune_channels", pruning_ratio=0.5).chain("m", "d"),
    ],
)
def test_whatever_can_change_a_result_changes_its_hash(recipe, change):
    assert change(recipe)[-1] != recipe.chain("m", "d")[-1]


def test_a_default_that_changed_keeps_the_hashes_from_before():
    """What was trained when channels were not rounded by default is found, and only for that."""
    prune = TECHNIQUES["prune_channels"]
    old = Recipe.from_json({**GOOD, "version": 1, "steps": [{"prune_channels": {}}]})
    assert old.entries[0].step.identity == {}
    assert prune(round_to=8).identity == {"round_to": 8}
    assert prune().identity == {"round_to": "auto"}
    written = digest("m", "prune_channels", {"prune_channels": {}}, 0, ("d", None))
    assert old.chain("m", "d")[-1] == written
    assert old.with_fields("prune_channels", round_to="auto").chain("m", "d")[-1] != written


def test_data_matter_only_from_the_first_step_that_uses_them():
    recipe = Recipe("m", "d").with_step(PruneWeights()).with_step(Quantize())
    first, second = recipe.chain("m", "one"), recipe.chain("m", "two")
    assert first[:2] == second[:2]
    assert first[2] != second[2]


def test_names_do_not_change_the_hashes_of_results(recipe):
    """The same model and data under other names give the same results."""
    other = Recipe("other", "names", recipe.entries, recipe.seed)
    assert other.chain("m", "d") == recipe.chain("m", "d")


def test_what_training_starts_from_is_never_a_draft(recipe):
    trained = recipe.with_step(TECHNIQUES["distill"](), 3)
    assert trained.limits(64) == [None, None, None, None, 64]
    assert recipe.limits(64) == [64, None, 64, 64]
    assert trained.chain("m", "d", 64)[:-1] == trained.chain("m", "d")[:-1]


def test_a_field_that_is_new_and_at_its_default_changes_no_hash(monkeypatch):
    """A technique may gain fields; what was trained before is still found."""
    before = Recipe("m", "d").with_step(TECHNIQUES["prune_weights"](sparsity=0.7)).chain("m", "d")

    class PruneWeights(TECHNIQUES["prune_weights"]):
        later: Annotated[int, Range(low=0, high=9, step=1, label="L", help="H.")] = 0

    monkeypatch.setitem(TECHNIQUES, "prune_weights", PruneWeights)
    recipe = Recipe("m", "d").with_step(PruneWeights(sparsity=0.7))
    assert recipe.chain("m", "d") == before
    assert recipe.with_fields("prune_weights", later=1).chain("m", "d") != before


@pytest.mark.parametrize("name", ["\x85", "a\u2028b", "größe", "数字"])
def test_a_name_of_any_characters_comes_back_from_yaml(name):
    recipe = Recipe(name, "digits")
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert (name in recipe.to_yaml()) == name.isprintable()


HEAD = "version: 2\nmodel: digits-resnet8\ndata: digits\n"
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGES = "m0: &m0 {a: 1}\n" + "".join(
    f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}]}}\n" for i in range(1, 40)
)
HOSTILE = {
    "aliases of aliases": f"{HEAD}steps:\n- {{x: &x [y]}}\n" + LAUGHS,
    "merges of merges": HEAD + MERGES,
    "a list in itself": f"{HEAD}steps: &a [*a]",
    "an object": f"{HEAD}seed: !!python/object/apply:os.getpid []",
    "no date": f"{HEAD}seed: 2024-99-99",
    "a date that is none": f"{HEAD}seed: !!timestamp x",
    "no truth": f"{HEAD}seed: !!bool x",
    "no number": f"{HEAD}seed: !!int ''",
    "digits without end": f"{HEAD}seed: {'9' * 5_000}",
    "hexadecimal digits without end": f"{HEAD}seed: 0x{'f' * 5_000}",
    "digits as a key": f"{HEAD}0x{'f' * 5_000}: 1",
    "deep": f"{HEAD}seed: {'[' * 900}{']' * 900}",
    "deeper": "[" * 20_000,
    "long": HEAD + "# x\n" * 20_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_text_that_means_harm_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        Recipe.from_yaml(text)
    assert len(str(caught.value)) < 2_000


def test_a_recipe_file_that_is_not_there_is_named_without_its_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"'r\.yaml' cannot be read") as caught:
        Recipe.load(tmp_path / "r.yaml")
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / "r.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        Recipe.load(tmp_path / "r.yaml")
