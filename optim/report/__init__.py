"""Reports: what came of a run, to keep, to print and to hand on.

============  ==================================================================================
``facts``     what a report says, taken from a finished run; nothing is measured anew
``page``      the facts as one HTML file that needs nothing else
``chart``     the trade-off as a drawing
``trackers``  runs handed to TensorBoard and MLflow
``script``    the recipe as commands, as Python, and as a program that checks the figures
============  ==================================================================================
"""
