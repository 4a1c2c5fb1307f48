"""The search for recipes: sensitivity first, then much without training, then a little with it.

==============  ================================================================================
``asked``       what somebody asks for, checked
``plan``        the search itself, from opening the model to the verified file
``session``     what its stages share: bench, studies, budget, who watches
``recipes``     the space of recipes for one model
``bench``       measures recipes against goals, and stops those that cannot matter
``layers``      what single layers can spare
``starts``      what is tried first
``trying``      many recipes without training, costly methods on the best
``recoveries``  which candidates are worth training, and how long that takes
``training``    trains them
``baselines``   what a search has to be better than
``narrower``    one of them: a narrower network, trained from the start
``ending``      the file and the test samples
``answer``      what came of it, as plain data and as files
``words``       recipes and figures as a reader sees them
==============  ================================================================================
"""
