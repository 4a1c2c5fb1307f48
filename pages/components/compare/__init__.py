"""Parts of the page that puts models side by side.

===========  ====================================================================
``page``     what is compared, the reference, and one view at a time
``chosen``   the models to choose from, and the address that names them
``cards``    one card a model: figures, changes, intervals
``views``    trade-off, all figures, classes, layers, predictions, origin
``charts``   plain data in, Plotly figure out
===========  ====================================================================
"""
