"""What a workshop plays for, and how an entry is measured.

=============  ==========================================================
``challenge``  a challenge: one figure to lower within limits; no torch
``measured``   what a recipe really reaches: built, exported, verified
=============  ==========================================================
"""
