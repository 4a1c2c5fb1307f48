"""Parts of the Distillation page.

===========  ====================================================================
``answers``  what teacher and student find likely, sample by sample
``lesson``   who teaches whom and how, and the button that starts it
===========  ====================================================================
"""
