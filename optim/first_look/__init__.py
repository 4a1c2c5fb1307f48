"""A first look at what somebody brings, before anything is added.

The files are anybody's: pages ask through :mod:`optim.intake`, in whose process they are opened.
Answers are plain data.

=========  =====================================================================================
``model``  what a model is, and what it says about its input
``data``   samples, and how they would be read for that model; imports no torch
``pair``   whether both fit, on a few hundred samples, and what would do better
=========  =====================================================================================
"""
