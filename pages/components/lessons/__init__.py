"""Lessons on a page.

===========  =================================================================
``drawn``    one lesson: control, picture, figures, question, in the browser
``waiting``  what is shown while a lesson is computed for the first time
``listing``  all lessons, and the way from one to the next
===========  =================================================================
"""
