"""Looks into a model beside its original: what compression changed, and where it shows.

=============  =================================================================================
pair           the original of a recipe and what its steps made of it
overview       quality, classes and confidence of both, side by side
classes        accuracy of every class, and the paired change of it
confidence     how sure both are, and whether rightly: the calibration error
flips          the samples that get another class now
corruptions    noise, blur and contrast at five severities
robustness     both models under corruption
propagation    values inside both: error of every layer, channels that tell nothing apart
distributions  weights and activations, and the grids they lie on
norms          scales of batch norms
architecture   the layers as a graph, and where to draw them
layers         all that is known of single layers, put together
kept           where it lies until model, data or recipe change
child          does the longer looks in a process of their own
=============  =================================================================================
"""
