"""Two people at one server: who is who, what each sees, and what is refused."""

import io

import pytest
import torch
from streamlit.testing.v1 import AppTest

from optim.access.audit import entries
from optim.belongings.removal import remove_all
from optim.export.downloads import find_export
from optim.intake import take_pair
from optim.models.cards import model_cards
from optim.models.zoo import ZOO
from optim.recipe import Recipe
from pages.components import access
from pages.components.bring import brought
from pages.components.server import run_store
from tests.pages import looks
from tests.pages.helpers import (
    ROOT,
    click,
    edit_cells,
    open_app,
    open_section,
    panel_data,
    recipe_of,
    small_recipe,
    tell,
    texts,
)

ANN = {"is_logged_in": True, "iss": "https://id.example", "sub": "ann", "name": "Ann"}
BOB = {**ANN, "sub": "bob", "name": "Bob"}


pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture
def with_sign_in(monkeypatch):
    """Let the operator have set up sign-in with one provider."""
    monkeypatch.setattr(access, "get_secrets_auth_section", lambda: {"client_id": "studio"})


def open_as(user, recipe=None):
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.user = user
    at.query_params["r"] = (recipe or small_recipe()).to_link()
    at.run()
    assert not at.exception
    return at


def _taken_anyway(*pair, **about):
    return {**take_pair(*pair, **{**about, "options": {}, "anyway": True}), "check": looks.GOOD}


def upload(at, seed=2):
    """Bring weights for the wine; only the model is really opened."""
    buffer = io.BytesIO()
    torch.save(ZOO["mlp"].build((13,), 3, seed=seed).state_dict(), buffer)
    at.switch_page("pages/lab/use_my_model.py").run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(brought, "look_at_model", lambda *_, **__: looks.MODEL)
        patch.setattr(
            brought, "look_at_data", lambda *_, **__: {**looks.DATA, "can_be_varied": False}
        )
        patch.setattr(brought, "take_pair", _taken_anyway)
        at.file_uploader(key="bring_model_file").set_value(("mine.pt", buffer.getvalue(), "")).run()
        at.segmented_control(key="bring_where").set_value("Data that are here").run()
        at.selectbox(key="bring_data_here").set_value("wine").run()
        click(at, "Confirm and check")
        if not at.error:  # which says why it was refused
            at.switch_page("pages/lab/lab.py").run()
    assert not at.exception
    return recipe_of(at).model


def models_of(at):
    return " ".join(at.sidebar.selectbox(key="model_picker").options)


def noted(what):
    return [entry for entry in entries() if entry["what"] == what]


# --- signing in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [{}, {"is_logged_in": False}, {"email": "ann@example.org"}])
def test_before_signing_in_there_is_nothing_else(with_sign_in, user):
    at = open_as(user)
    assert [b.label for b in at.button] == ["Sign in"]
    assert not at.sidebar.selectbox
    assert not at.subheader
    assert "history" not in at.session_state


def test_each_provider_has_a_button(monkeypatch):
    section = {"redirect_uri": "…", "google": {"client_id": "a"}, "work": {"client_id": "b"}}
    monkeypatch.setattr(access, "get_secrets_auth_section", lambda: section)
    labels = [b.label for b in open_as({}).button]
    assert labels == ["Sign in with google", "Sign in with work"]


def test_what_somebody_uploaded_is_theirs_in_every_session_and_nobody_elses(with_sign_in):
    name = upload(open_as(ANN), seed=11)
    card = model_cards()[name]
    assert card.owner.startswith("user-")
    assert card.title in models_of(open_as(ANN))
    assert card.title not in models_of(open_as(BOB))
    assert "Ann" in "\n".join(c.value for c in open_as(ANN).sidebar.caption)
    remove_all(card.owner, run_store())


def test_signing_in_is_noted_once_a_session(with_sign_in):
    before = len(noted("signed in"))
    at = open_as(ANN)
    at.run()
    (entry,) = noted("signed in")[before:]
    assert entry["who"].startswith("user-")
    assert "ann" not in entry["who"]


def test_names_of_a_proxy_count_only_where_they_are_trusted(monkeypatch):
    proxied = {"email": "ann@example.org"}
    assert "ann@example.org" not in "\n".join(c.value for c in open_as(proxied).sidebar.caption)
    monkeypatch.setattr(
        access.config,
        "get_option",
        lambda name, get=access.config.get_option: (
            {"X-Email": "email"} if name == "server.trustedUserHeaders" else get(name)
        ),
    )
    assert "ann@example.org" in "\n".join(c.value for c in open_as(proxied).sidebar.caption)


# --- two guests ---------------------------------------------------------------------------------


def test_the_same_file_from_two_guests_is_two_models_under_names_nobody_can_tell():
    first, second = open_app(small_recipe()), open_app(small_recipe())
    hers, his = upload(first), upload(second)
    assert hers != his
    assert model_cards()[hers].owner != model_cards()[his].owner
    remove_all(model_cards()[hers].owner, run_store())
    second.run()
    assert not second.error
    assert panel_data(second)["head"]["model"] == his
    remove_all(model_cards()[his].owner, run_store())


def test_a_hash_opens_nothing():
    at = open_app(small_recipe())
    name = upload(at, seed=5)
    card = model_cards()[name]
    for guess in (card.hash, f"my-{card.hash[:16]}", name[:-1], name.upper()):
        stranger = open_app(Recipe(guess, "wine"))
        assert stranger.error, guess
        assert card.title not in models_of(stranger)
    with_link = open_app(Recipe(name, "wine"))
    assert not with_link.error
    remove_all(card.owner, run_store())


def test_after_its_owner_deleted_it_a_link_opens_nothing():
    at = open_app(small_recipe())
    name = upload(at, seed=6)
    friend = open_app(Recipe(name, "wine"))
    assert not friend.error
    remove_all(model_cards()[name].owner, run_store())
    friend.run()
    assert name in friend.error[0].value


def test_a_verified_file_of_one_guest_has_another_address_for_the_next(lab):
    tokens = []
    for at in (lab, open_app(small_recipe())):
        click(at, "Download verified file")
        result = at.session_state["delivery"]["result"]
        assert find_export(result["token"], result["name"])
        tokens.append((result["token"], result["hash"]))
    (first, content), (second, same) = tokens
    assert content == same
    assert len({first, second, content}) == 3


def test_a_run_belongs_to_who_started_it(worked):
    at = open_app(small_recipe())
    click(at, "Recover accuracy")
    (run,) = worked.store.runs()
    assert run.owner.startswith("guest-")
    other = open_app(small_recipe(), run=run.id)
    assert "Recover Small ResNet" in texts(other)
    assert "Cancel" not in [b.label for b in other.button]
    assert "Cancel" in [b.label for b in at.button]
    other.switch_page("pages/runs/runs.py").run()
    assert "No runs yet" in texts(other)
    at.switch_page("pages/runs/runs.py").run()
    assert "No runs yet" not in texts(at)


def test_what_the_command_line_submits_is_the_operators_where_people_have_names(
    with_sign_in, worked
):
    run = worked.queued()
    at = open_as(ANN)
    at.switch_page("pages/runs/runs.py").run()
    at.checkbox(key=f"pick_{run.id}").check().run()
    able = {b.label for b in at.button if not b.disabled}
    assert not able & {"Pause", "Resume", "Cancel", "Delete"}


def test_the_same_recipe_of_another_guest_is_another_run(worked):
    for _ in range(2):
        click(open_app(small_recipe()), "Recover accuracy")
    assert len({run.owner for run in worked.store.runs()}) == 2


def test_a_run_of_somebody_else_is_not_cancelled_even_if_a_button_says_so(worked):
    from tests.pages.components.runs.test_actions import act

    run = worked.store.submit("recipe", {}, owner="guest-0123456789abcdef")
    for name in ("cancel", "pause", "delete"):
        at = act(name, [run.id])
        assert "belongs to somebody else" in at.session_state["notice"].message
    assert worked.store.get(run.id) == run


# --- limits -------------------------------------------------------------------------------------


def test_beyond_a_limit_the_form_says_so(monkeypatch, lab):
    monkeypatch.setenv("OPTIM_MAX_UPLOADS", "1")
    upload(lab, seed=7)
    known = set(model_cards())
    upload(lab, seed=8)
    assert "1 is the most" in lab.error[0].value
    assert set(model_cards()) == known


def test_beyond_the_limit_of_runs_none_is_started(monkeypatch, worked):
    monkeypatch.setenv("OPTIM_MAX_RUNS", "1")
    at = open_app(small_recipe())
    click(at, "Recover accuracy")
    tell(at, "command", name="preset", value="gentle")
    click(at, "Recover accuracy")
    assert "1 is the most" in at.error[0].value
    assert len(worked.store.runs()) == 1


# --- presentation -------------------------------------------------------------------------------


@pytest.fixture(params=["setting", "link"])
def presented(request, monkeypatch, worked):
    """A Lab to look at only, by each way there is."""
    worked.queued()
    if request.param == "setting":
        monkeypatch.setenv("OPTIM_PRESENTATION", "1")
        return open_app(small_recipe())
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.query_params["r"] = small_recipe().to_link()
    at.query_params[access.PRESENTATION] = "1"
    return at.run()


ACTS = {
    "Use my model",
    "Confirm",
    "Recover accuracy",
    "Train",
    "Delete",
    "Cancel",
    "Pause",
    "Resume",
}


def test_what_would_act_is_not_there_and_sliders_answer(presented):
    assert not presented.exception
    assert not ACTS & {b.label for b in presented.button}
    assert not presented.get("file_uploader")
    assert "Use my model" not in [link.proto.label for link in presented.sidebar.page_link]
    tell(presented, "command", name="preset", value="gentle")
    assert not presented.error
    assert recipe_of(presented) != small_recipe()
    open_section(presented, "Layers")
    edit_cells(presented, {0: {"Bits": "4"}})
    assert not presented.error


@pytest.mark.parametrize(
    "page",
    [
        "pages/lab/use_my_model.py",
        "pages/lab/data.py",
        "pages/runs/runs.py",
        "pages/training/distillation.py",
        "pages/training/regularisation.py",
        "pages/training/speed.py",
        "pages/mine/my_data.py",
    ],
)
def test_no_page_has_a_control_that_acts(presented, page):
    presented.switch_page(page).run()
    assert not presented.exception
    assert not [b.label for b in presented.button if b.label.split()[0] in ("Train", *ACTS)]


def test_actions_refuse_whoever_calls_them(monkeypatch, worked):
    from tests.pages.components.runs.test_actions import act

    monkeypatch.setenv("OPTIM_PRESENTATION", "1")
    run = worked.queued()
    for name in ("cancel", "pause", "delete", "resume", "restore"):
        assert "presentation" in act(name, [run.id]).session_state["notice"].message
    assert worked.store.get(run.id) == run
    for check in (lambda: access.check_upload(1), access.check_run, access.refuse_presentation):
        with pytest.raises(access.AccessError, match="presentation"):
            check()


# --- the audit log ------------------------------------------------------------------------------


def test_what_somebody_did_is_noted_and_nothing_that_opens_anything(worked, lab):
    before = len(list(entries()))
    name = upload(lab, seed=9)
    open_section(lab, "Files")
    click(lab, "Download verified file")
    found = list(entries())[before:]
    assert [entry["what"] for entry in found] == ["uploaded", "opened", "exported"]
    assert len({entry["who"] for entry in found}) == 1
    assert all(entry["hash"] for entry in found)
    assert name not in str(found)
    assert "mine.pt" not in str(found)
