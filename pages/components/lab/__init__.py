"""Parts of the Lab page.

================  =======================================================================
``header``        title, badges and the buttons at the top
``actions``       what the panel's events do to the recipe
``delivery``      verify a file and hand it over
``recover``       train back what compression cost, in the background
``words``         words that several of them share
``more``          layers, classes, weights, sizes, recipe: everything below the first screen
================  =======================================================================
"""
