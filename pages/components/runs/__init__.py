"""Parts of the pages about runs, and of the Lab's card of a recovery.

============  ===========================================================================
``words``     states, durations and ages as a reader sees them
``figures``   what a run reached, taken from its stored scorecard
``polled``    draw something again every second, and only while a run is active
``actions``   cancel, pause, resume, delete and restore, with a sentence if it cannot be
``listing``   the list: filter, sort, select
``compare``   selected runs side by side
``detail``    one run: progress, curves, result, steps, log, files
============  ===========================================================================
"""
