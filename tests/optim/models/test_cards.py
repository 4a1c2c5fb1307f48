"""Cards of models: what is damaged is left out, and does not hide the others."""

import json

import pytest
import torch

from optim.errors import UnsupportedModelError
from optim.library import add_model
from optim.models.cards import ModelCard, model_cards
from optim.models.zoo import ZOO
from optim.storage import ASSETS, store_home

WHOLE = json.loads((ASSETS / "models" / "wine-mlp.json").read_text(encoding="utf-8"))
FIGURE = WHOLE["accuracy"]["test"]
DAMAGED = {
    "endless shape": json.dumps({**WHOLE, "input_shape": [float("inf")]}).encode(),
    "no JSON": b"{",
    "no text": b"\x80\x02",
    "a list": b"[]",
    "deep": b"[" * 5_000,
    "no title": json.dumps({k: v for k, v in WHOLE.items() if k != "title"}).encode(),
    "title of another kind": json.dumps(WHOLE | {"title": [1]}).encode(),
    "listed by a number": json.dumps(WHOLE | {"listed": 1}).encode(),
    "accuracy that is a list": json.dumps(WHOLE | {"accuracy": [1]}).encode(),
    "accuracy of text": json.dumps(
        WHOLE | {"accuracy": {"test": FIGURE | dict.fromkeys(("value", "low", "high"), "x")}}
    ).encode(),
    "accuracy outside": json.dumps(WHOLE | {"accuracy": {"test": FIGURE | {"low": 2}}}).encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_card_is_left_out_and_hides_no_other(own_home, caplog, content):
    card = store_home() / "models" / "mine.json"
    card.parent.mkdir(parents=True)
    card.with_suffix(".safetensors").write_bytes(b"")
    card.write_bytes(content)
    names = set(model_cards())
    assert "wine-mlp" in names
    assert "mine" not in names
    assert "'mine.json' of a model is damaged" in caplog.text
    with pytest.raises(UnsupportedModelError, match=r"'mine\.json'"):
        ModelCard.read(card)


def test_a_whole_card_is_in_the_lists(own_home):
    card = store_home() / "models" / "mine.json"
    card.parent.mkdir(parents=True)
    card.with_suffix(".safetensors").write_bytes(b"")
    card.write_text(json.dumps(WHOLE), encoding="utf-8")
    assert model_cards()["mine"].title == WHOLE["title"]


def test_a_card_says_the_shape_of_a_sample(own_home, tmp_path):
    torch.save(ZOO["mlp"].build((13,), 3).state_dict(), tmp_path / "m.pt")
    name = add_model(tmp_path / "m.pt", data="wine", architecture="mlp")
    assert model_cards()[name].input_shape == (13,)
