"""The pair that the Lab shows, opened again to be read otherwise."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from optim.data.added import data_cards, options_of
from optim.models.cards import model_cards
from optim.recipe import Recipe
from pages.components.bring.brought import Brought, of_name, seen_model
from pages.components.bring.data import data_as_read
from pages.components.bring.model import model_card

__all__ = ["present_pair"]


def present_pair(recipe: Recipe) -> tuple[Brought, Brought | None]:
    """Draw model and data of a recipe; return them, the data if the model can take them.

    Raises:
        OptimError: If one of them is not here or cannot be read.
    """
    titles = {name: card.title for name, card in (*model_cards().items(), *data_cards().items())}
    model = of_name(recipe.model, titles.get(recipe.model, recipe.model))
    with st.container(border=True, key="bring_model"):
        model = replace(model, look=seen_model(model))
        model_card(model.title, model.look["card"])
    with st.container(border=True, key="bring_data"):
        data = of_name(recipe.data, titles.get(recipe.data, recipe.data))
        st.markdown("**Data**")
        found = data_as_read(data, model.look["expected"], options_of(recipe.data))
    return model, found
