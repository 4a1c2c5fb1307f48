"""Parts of the pages about runs, and the card of the one that is followed.

============  ===========================================================================
``words``     states, durations and ages as a reader sees them
``figures``   what a run reached, taken from its stored scorecard
``polled``    draw something again every second, and only while a run is active
``actions``   start, cancel, pause, resume, delete, restore; a sentence if it cannot be
``followed``  the card of the run that is followed
``listing``   the list: filter, sort, select
``compare``   from selected runs to the page that puts them side by side
``detail``    one run: progress, curves, result, steps, log, files
============  ===========================================================================
"""
