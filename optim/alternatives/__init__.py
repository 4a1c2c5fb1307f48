"""Train the same network in several ways, side by side.

What regularisation, an activation or a faster way of training is worth shows only in comparison,
and only over several seeds.

===============  =============================================================
``alternative``  one way to train, as plain data and back
``topics``       what is worth comparing: regularisation, faster training
``training``     train every alternative once a seed
``outcomes``     what came of it, with intervals over seeds
===============  =============================================================
"""
