"""The search for architectures: which network of a family learns these data within these limits.

==============  ================================================================================
``asked``       what somebody asks for, checked
``families``    the spaces: fields of the zoo's architectures
``bench``       what a network costs before training, and what it reaches after
``proxies``     what is told of a network before it is trained
``trust``       how far these can be trusted here: rank correlation with what was trained
``session``     what the stages share: bench, studies, budget, who watches
``trying``      which networks are tried, and trained for short
``halving``     which of them are trained for longer
``predicting``  which network is tried next, by a model of the error
``supernet``    one training that gives weights to every network
``repeating``   what is taken, trained again from other weights
``plan``        the search itself, from the data to the verified file
``ending``      the file and the test samples
``answer``      what came of it, as plain data and as files
``words``       architectures as a reader sees them
==============  ================================================================================
"""
