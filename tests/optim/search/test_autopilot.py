"""The Autopilot on a model of a moment: finds, goes on, says what cannot be, and why it missed."""

import json

import numpy as np
import pytest

from optim.errors import Cancelled, ConfigError
from optim.measure.latency import pair_of
from optim.presets import preset_recipes
from optim.quantity import How
from optim.recipe import Recipe
from optim.runtime.latency import LatencySamples
from optim.search.autopilot.answer import answer_json, files_of, save
from optim.search.autopilot.asked import Asked, goals_of
from optim.search.autopilot.bench import Bench
from optim.search.autopilot.layers import Layers
from optim.search.autopilot.plan import Autopilot, recipes_of
from optim.search.autopilot.starts import _fitting, presets
from optim.search.session import OutOfTimeError
from optim.search.watch import Watch
from optim.sensitivity.analysis import analyse
from optim.sensitivity.kept import SHELF, kept_profile, key_of
from optim.sensitivity.profile import SAMPLES
from optim.subject import open_subject
from optim.techniques.quantize import Quantize

BASE = Recipe("wine-mlp", "wine")
NARROW = {
    "prune_channels.importance": ["magnitude"],
    "prune_channels.scope": ["local"],
    "prune_channels.round_to": [1],
    "quantize.weight_bits": [4, 8],
    "quantize.activation_bits": [8],
    "quantize.granularity": ["per_channel"],
    "quantize.calibration": ["minmax"],
    "quantize.weight_calibration": ["minmax"],
    "factorize.on": [False],
}


ONLY_BITS = {"quantize.weight_bits": (4, 8)}


class Clock:
    """Goes on by itself, the same on every machine."""

    def __init__(self, step=0.02):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.fixture(scope="module", autouse=True)
def analysed(optim_home):
    """What single layers of the model can spare is known already."""
    *_, profile = analyse(open_subject(BASE))
    SHELF.keep(key_of(BASE, SAMPLES), profile.to_json())


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'studies.db'}"


@pytest.fixture
def pilot(url):
    def pilot(limits=None, *, watch=None, step=0.02, **fields):
        fields = {"seconds": 5.0, "only": NARROW, "trains": False, **fields}
        asked = Asked(BASE, limits or {}, **fields)
        return Autopilot(asked, watch, url=url, clock=Clock(step))

    return pilot


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One search that trains, its answer, and what was said and shown meanwhile."""
    home = tmp_path_factory.mktemp("found")
    said, shown = [], []
    asked = Asked(BASE, {"bytes": "70%", "loss": 6.0}, seconds=14.0, only=NARROW)
    watch = Watch(say=said.append, publish=lambda state: shown.append(json.dumps(state)))
    autopilot = Autopilot(asked, watch, url=f"sqlite:///{home / 'studies.db'}", clock=Clock())
    return asked, autopilot.run(), said, shown, autopilot


def test_it_finds_a_recipe_that_keeps_the_limits_and_its_verified_file(found):
    _, answer, said, _, _ = found
    assert answer.chosen is not None
    assert not answer.goals.misses(answer.chosen.figures)
    assert answer.delivery.verification.size.value <= answer.goals.limit("bytes").most
    assert answer.chosen.number in answer.tests, "the test part was looked at, once, at the end"
    assert any(text.startswith("Taken: ") for text in said)
    assert answer.candidates[0].stage == "without training"
    assert any(c.stage in ("short training", "long training") for c in answer.candidates)


def test_baselines_stand_beside_what_was_found(found):
    _, answer, _, _, _ = found
    titles = [c.title for c in answer.candidates if c.is_baseline]
    assert "Eight bits and nothing else" in titles
    assert "The same, what goes chosen at random" in titles
    assert not any(c.is_baseline for c in answer.front)


def test_what_is_shown_meanwhile_holds_the_story_and_the_front(found):
    _, _, said, shown, _ = found
    states = [json.loads(text) for text in shown]
    assert states[0]["stage"]
    assert [one["text"] for one in states[-1]["story"]] == said
    assert states[-1]["front"]
    assert {row["number"] for row in states[-1]["candidates"]} >= set(states[-1]["front"])


def test_every_candidate_has_a_recipe_that_can_be_opened(found):
    _, answer, _, _, _ = found
    for candidate in answer.candidates:
        if candidate.is_baseline and "architecture" in candidate.made:
            continue  # a narrower network: nothing of the original is in it
        recipe = Recipe.from_json(candidate.made["recipe"])
        assert Recipe.from_link(recipe.to_link()) == recipe


def test_a_narrower_network_that_costs_no_more_is_trained_to_compare_with(found):
    _, answer, said, _, _ = found
    [narrower] = [c for c in answer.candidates if "architecture" in c.made]
    assert narrower.is_baseline
    assert narrower.made["epochs"] >= 1
    taken = answer.taken.figures
    assert narrower.figures["bytes"].value <= 1.02 * taken["bytes"].value
    assert any(text.startswith(narrower.title) for text in said)
    assert narrower.number not in {c.number for c in answer.front}


def test_its_files_are_the_answer_the_recipes_of_the_front_and_the_model(found, tmp_path):
    asked, answer, _, _, autopilot = found
    files = files_of(answer, asked, autopilot.session.story)
    assert len(files["model.onnx"]) == answer.delivery.verification.size.value
    front = json.loads(files["search.json"])["front"]
    assert {f"front-{number}.yaml" for number in front} < set(files)
    assert front == [c.number for c in answer.front]
    (tmp_path / "search.json").write_text('{"files": ["model.opack", "front-999.yaml"]}')
    for stale in ("model.opack", "front-999.yaml"):
        (tmp_path / stale).write_bytes(b"of an earlier search")
    save(tmp_path, answer, asked, autopilot.session.story)
    assert {path.name for path in tmp_path.iterdir()} == set(files)
    assert json.loads((tmp_path / "search.json").read_text())["satisfied"] is True
    chosen = Recipe.load(tmp_path / "recipe.yaml")
    assert chosen.to_json() == answer.chosen.made["recipe"]


def test_limits_that_are_out_of_reach_are_said_before_anything_is_tried(pilot, monkeypatch):
    def looks_at_samples(bench):
        raise AssertionError("sizes need no sample")

    monkeypatch.setattr(Bench, "original_quality", looks_at_samples)
    answer = pilot({"bytes": 100}).run()
    assert "out of reach" in answer.impossible
    assert answer.candidates == ()
    assert answer_json(answer, Asked(BASE), [])["satisfied"] is False


def test_without_anything_that_satisfies_it_ends_with_the_closest_miss(pilot):
    only = {**NARROW, "prune_channels.pruning_ratio": [0.95]}
    answer = pilot({"loss": 0.0}, only=only, seconds=3.0).run()
    assert answer.chosen is None
    assert answer.closest.misses
    assert answer.closest.relaxations
    assert answer.delivery is not None, "the closest can be had as well"


def test_a_stopped_search_goes_on_with_what_it_knows(pilot):
    seen = []

    def stop():
        if len(seen[-1:]) and len(seen[-1]["candidates"]) > 2:
            raise Cancelled

    watch = Watch(check=stop, publish=seen.append)
    with pytest.raises(Cancelled):
        pilot({"bytes": "60%"}, watch=watch, study="mine").run()
    said = []
    again = pilot({"bytes": "60%"}, watch=Watch(say=said.append), study="mine")
    answer = again.run()
    assert any(text.startswith("This search goes on") for text in said)
    recipes = [json.dumps(c.made) for c in answer.candidates if not c.is_baseline]
    assert len(recipes) == len(set(recipes)), "nothing is measured twice"


def test_it_takes_what_it_has_when_it_is_asked_to(pilot):
    shown = []
    watch = Watch(publish=shown.append, is_enough=lambda: any(s["front"] for s in shown))
    answer = pilot({"bytes": "70%", "loss": 50.0}, watch=watch).run()
    assert answer.ended == "It was asked to take what it has."
    assert answer.chosen is not None
    assert answer.spent_s < 5


def test_it_begins_with_eight_bits_and_with_presets_as_they_are(url):
    """What a recipe does not do is off, however the space says that it is off."""
    base = Recipe("digits-resnet8", "digits")
    session = Autopilot(Asked(base, seconds=5.0), url=url).session
    recipes = recipes_of(session)
    assert {"prune_channels", "drop_blocks", "factorize", "quantize"} <= set(recipes.techniques)
    assert recipes.recipe(recipes.point(base)) == base
    begun = [recipes.recipe(point) for point in presets(session, recipes)]
    assert begun[0] == recipes.recipe(recipes.point(base.with_step(Quantize())))
    assert [e.name for e in begun[0].entries if e.name in recipes.techniques] == ["quantize"]
    for recipe in preset_recipes(base.model, base.data, base.seed).values():
        does = {entry.name for entry in recipe.active} & {*recipes.techniques}
        assert does in [{entry.name for entry in r.entries} & {*recipes.techniques} for r in begun]


def test_what_just_fits_the_limits_does_two_things_at_most(url):
    base = Recipe("digits-resnet8", "digits")
    session = Autopilot(Asked(base, {"bytes": "10%"}, seconds=60.0), url=url).session
    recipes = recipes_of(session)
    found = [recipes.recipe(point) for point in _fitting(session, recipes, Layers(session))]
    does = [{e.name for e in recipe.entries} & {*recipes.techniques} for recipe in found]
    assert {"prune_channels", "quantize"} in does
    assert all(1 <= len(names) <= 2 for names in does)


def test_a_space_of_one_point_is_one_candidate(pilot):
    one = {name: values[:1] for name, values in NARROW.items()}
    one |= {"prune_channels.pruning_ratio": [0.25], "prune_channels.layers": ["same"]}
    one |= {"quantize.on": [True], "quantize.layers": ["same"], "quantize.ends": ["same"]}
    autopilot = pilot(only={**one, **_off(pilot)})
    answer = autopilot.run()
    assert autopilot.session.points.space.count() == 1
    tried = [c for c in answer.candidates if c.stage == "without training"]
    assert len(tried) == 1
    assert not any("a minute" in one["text"] for one in autopilot.session.story)
    assert answer.chosen is not None


def _off(pilot):
    """Return what switches off every other technique of the space."""
    space = recipes_of(pilot().session).space
    return {
        d.name: [False]
        for d in space
        if d.name.endswith(".on") and not d.name.startswith("quantize")
    }


def test_a_budget_too_small_for_one_trial_is_refused_with_one_that_would_do(pilot):
    with pytest.raises(ConfigError, match="too small for one trial") as caught:
        pilot(seconds=0.5, step=1.0).run()
    assert "Give at least" in caught.value.hint


def test_two_searches_for_different_things_cannot_have_one_name(pilot):
    pilot(study="mine", seconds=3.0).run()
    with pytest.raises(ConfigError, match="a study 'mine' already"):
        pilot(study="mine", bytes_of="entropy", seconds=3.0).run()


def test_a_model_that_cannot_be_trained_is_searched_without(own_home, url, tmp_path):
    from optim.export.deploy import onnx_bytes
    from optim.models.open import open_registered_model

    file = tmp_path / "wine.onnx"
    file.write_bytes(onnx_bytes(open_registered_model("wine-mlp")))
    said = []
    asked = Asked(Recipe(str(file), "generated?samples=64"), {"loss": 30.0}, seconds=6.0)
    answer = Autopilot(asked, Watch(say=said.append), url=url, clock=Clock()).run()
    assert any("Nothing is trained." in text for text in said)
    assert all(c.stage in ("without training", "refined", "baseline") for c in answer.candidates)
    assert answer.chosen is not None


# --- what is asked ------------------------------------------------------------------------------


def test_what_is_asked_is_plain_data_and_back():
    asked = Asked(BASE, {"bytes": "10%", "loss": 1.0}, device="cortex-m7", only=ONLY_BITS)
    assert Asked.from_json(json.loads(json.dumps(asked.to_json()))) == asked


def test_shares_are_those_of_the_original(pilot):
    session = pilot({"bytes": "50%", "macs": "25%"}).session
    limits = {limit.figure: limit.most for limit in session.goals.limits}
    assert limits["bytes"] == 0.5 * session.original["bytes"].value
    assert limits["macs"] == 0.25 * session.original["macs"].value
    assert session.goals.objectives == ("loss", "bytes", "macs")


def test_the_story_names_every_figure_once(pilot):
    said = []
    limits = {"params": "50%", "macs": 20.0, "bytes": "90%"}
    answer = pilot(limits, watch=Watch(say=said.append)).run()
    assert " parameters" in said[0]
    assert "MACs at most 20; " in said[1]
    assert "MACs at most 20 is out of reach" in answer.impossible


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limits": {"loss": "10%"}}, "no share of the original"),
        ({"limits": {"bytes": "many"}}, "must be a number, or a share"),
        ({"limits": {"bytes": -4}}, "must be a positive number"),
        ({"limits": {"beauty": 1}}, "figure must be one of"),
        ({"seconds": 0}, "budget must be more than 0"),
        ({"sampler": "magic"}, "sampler must be one of"),
        ({"bytes_of": "zip"}, "bytes_of must be one of"),
        ({"device": "toaster"}, "toaster"),
        ({"device": "here", "limits": {"ram": 1e6}}, "RAM of this computer is not measured"),
        ({"study": "x" * 200}, "at most 100 characters"),
        ({"limits": {"ram": 1e5}}, "RAM is that of a device, and none is named"),
        ({"device": "h100", "limits": {"ram": 6e4}}, "RAM of a network on NVIDIA H100 SXM is not"),
        ({"device": "nrf5340", "limits": {"energy": 1}}, "Energy of a network on nRF5340"),
        ({"only": {"foo": (1,)}}, "only names fields of techniques"),
        ({"only": {"finetune.epochs": (1,)}}, "only names fields of techniques"),
        ({"only": {"quantize.nosuch": (3,)}}, "quantize has no field 'nosuch'"),
        ({"only": {"quantize.weight_bits": (99,)}}, "weight_bits must be one of ternary, 2, 3"),
        ({"only": {"quantize.weight_bits": ()}}, "needs at least one value"),
    ],
)
def test_what_means_nothing_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Asked(BASE, **fields)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "needs a recipe"),
        ({"recipe": BASE.to_json(), "limits": [1]}, "limits must be a mapping"),
        ({"recipe": BASE.to_json(), "seconds": "long"}, "seconds must be a number"),
        ({"recipe": BASE.to_json(), "colour": 1}, "no field 'colour'"),
        ({"recipe": BASE.to_json(), "only": {"x": 5}}, "only must name lists"),
        ({"recipe": BASE.to_json(), "device": 5}, "device must be a text"),
        ({"recipe": BASE.to_json(), "trains": "no"}, "trains must be true or false"),
    ],
)
def test_data_from_anybody_are_checked(data, message):
    with pytest.raises(ConfigError, match=message):
        Asked.from_json(data)


@pytest.fixture
def timed_by_size(monkeypatch):
    """Files take a millisecond a kilobyte, so that no other process matters; or another time."""

    def take(ms):
        def compare(original, file, inputs, threads, **rest):
            baseline, candidate = (np.full(15, ms * len(one) / 1e3) for one in (original, file))
            blocks = {"baseline": baseline, "candidate": candidate}
            return pair_of(LatencySamples(blocks, 1, threads))

        for module in ("optim.search.stopwatch", "optim.sensitivity.times"):
            monkeypatch.setattr(f"{module}.compare_files", compare)

    take(1)
    return take


def enough_after(looks):
    """Return one who watches and wants no more after so many looks."""
    count = iter(range(10_000))
    return Watch(is_enough=lambda: next(count) > looks)


def test_time_on_this_computer_is_measured_and_kept(pilot, timed_by_size):
    said = []
    narrow = {**NARROW, "prune_channels.layers": ["same", "by sensitivity"]}
    limits = {"latency": "60%", "loss": 20.0}
    count = iter(range(10_000))

    def is_enough():
        return any(text.startswith("Timed on") for text in said) and next(count) > 40

    watch = Watch(say=said.append, is_enough=is_enough)
    answer = pilot(limits, device="here", only=narrow, watch=watch, seconds=60.0).run()
    original = answer.original["latency"]
    assert answer.chosen is not None
    assert answer.goals.costs == ("bytes", "latency")
    assert answer.chosen.figures["latency"].how is How.MEASURED
    assert answer.chosen.figures["latency"].value <= 0.6 * original.value
    assert "Latency is measured on this computer." in said
    (timed,) = [text for text in said if text.startswith("Timed on this computer")]
    assert "prune channels" in timed
    assert kept_profile(key_of(BASE, SAMPLES)).is_timed("prune_channels")


def test_a_search_that_goes_on_keeps_the_time_it_began_with(pilot, timed_by_size):
    """The computer takes twice as long for everything once the search goes on."""
    limits = {"latency": "60%", "loss": 20.0}
    fields = {"device": "here", "seconds": 60.0, "study": "timed"}
    first = pilot(limits, watch=enough_after(40), **fields).run()
    timed_by_size(2)
    again = pilot(limits, watch=enough_after(40), **fields).run()
    assert again.goals == first.goals
    assert again.original["latency"] == first.original["latency"]
    assert again.chosen.figures["latency"].value <= again.goals.limit("latency").most


def test_a_point_whose_settings_of_layers_run_out_of_time_is_given_back(
    pilot, timed_by_size, monkeypatch
):
    def spread(self, name, step, level):
        raise OutOfTimeError

    monkeypatch.setattr(Layers, "spread", spread)
    narrow = {**NARROW, "prune_channels.layers": ["by sensitivity"]}
    autopilot = pilot({"latency": "60%"}, device="here", only=narrow, seconds=20.0)
    autopilot.run()
    states = {t.state.name for t in autopilot.session.points._study.get_trials(deepcopy=False)}
    assert "RUNNING" not in states


def test_a_figure_that_is_not_known_of_the_model_on_the_device_is_refused(pilot):
    asked = Asked(BASE, {"latency": 5.0}, device="coral-usb")
    original = pilot().session.original
    with pytest.raises(ConfigError, match="Latency of this model on Coral USB"):
        goals_of(asked, original)
    assert goals_of(asked, original, lambda: {"latency"}).limit("latency").most == 5.0


def test_a_device_with_kernels_for_eight_bits_alone_can_be_searched_for(pilot):
    session = pilot({"latency": 5.0}, device="coral-usb").session
    assert "latency" not in session.original
    assert session.goals.limit("latency").most == 5.0
