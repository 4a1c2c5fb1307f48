"""ONNX graphs that are changed as they are, without becoming modules.

==========  ====================================================================================
layers      which nodes hold weights, and how their weights are arranged
fold        constants computed, batch norms folded: the graph that is quantized
plan        which values are quantized, as in the trainable lane
observe     what the values are on calibration samples, in a bounded amount of memory
skeleton    a graph without its weights: sizes and types of all values, newer operator sets
whole       whether a graph holds all of its numbers itself
==========  ====================================================================================

Writing a quantized file is in :mod:`optim.runtime.emit_graph`.
"""
