"""C for microcontrollers: an integer program from a deployed graph, and the sources that run it.

==========  ====================================================================================
program     the integer program itself: operations, their scalings, the arena
operations  what every kernel of a graph becomes, or a refusal that names what is lacking
builder     what all operations are made with: grids, offsets, weights, biases
archive     the sources and the arrays, as a zip
session     compiled and run, to be verified like any other file
==========  ====================================================================================
"""
