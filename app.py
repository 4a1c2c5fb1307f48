"""Optim Studio: router and frame.

Streamlit runs this file twice over: once as a module, to find the server (``app``, with the routes
of the live panel), and once for every page view, as a script, to draw the frame and the page.
"""

from __future__ import annotations

import streamlit as st

if __name__ == "__main__":
    from pages.components.frame import draw

    draw()
else:
    from starlette.middleware import Middleware

    from pages.components.first_paint import FirstPaint
    from pages.components.guests import GuestCookie
    from pages.components.server import (
        ask_nobody,
        lifespan,
        pages_come_from_navigation,
        panel_routes,
    )

    ask_nobody()
    pages_come_from_navigation()
    app = st.App(
        __file__,
        routes=panel_routes(),
        lifespan=lifespan,
        middleware=[Middleware(GuestCookie), Middleware(FirstPaint)],
    )
