"""A supernet: one training, after which every network of a space has weights.

The largest network is trained; a smaller one takes its weights out of the largest: the middle
channels, the middle of a filter, the first blocks of a stage.

============  ==================================================================================
``sharing``   which weights a network takes, and what it needs that the largest does not have
``sandwich``  what is learned in a step: the largest from labels, smaller ones from the largest
``planning``  what of a space fits into the limits and into the time
``supernet``  the training, and the networks that come out of it
``ranking``   what each network reaches with the shared weights, and the front of that
============  ==================================================================================
"""
