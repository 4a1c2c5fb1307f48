"""ONNX files as modules that can be trained.

=============  =============================================================================
``reader``     the file: constants, types, opsets; refuses what no module can hold
``kinds``      operators that are remarkable wherever they stand
``folding``    computes what depends on constants and sizes only
``builder``    the graph under construction, followed for two batch sizes
``operators``  one index of the operators, files by subject
``grids``      takes quantizers out of the graph, and says what lies on which grid
``layout``     takes back the changes of layout of channels-last exporters
``lifting``    finds layers in what files spell out as arithmetic
``rewriting``  what rewrites of the graph need to know
``converter``  :func:`convert`: all of it, in order
``parity``     whether a module computes what ONNX Runtime computes
``program``    a converted model without weights, as plain data
=============  =============================================================================
"""
