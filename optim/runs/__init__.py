"""Runs: work that outlives the page, the server and the process that does it.

==============  ==============================================================================
``run``         what a run is, and its states
``store``       :class:`~optim.runs.store.RunStore`: submit, look, cancel, pause, resume, delete
``engine``      who works on the queue: this machine or a Ray cluster; ``engine().ensure()``
==============  ==============================================================================

Behind them: ``database`` and ``schema`` (SQL), ``files`` and ``artefacts``, ``lease`` (what a
worker may write, and until when), ``checkpoint`` (where a step goes on), ``supervisor`` and ``job``
(the processes), ``jobs`` (the kinds of work), ``tidy``. For several machines: ``ray_engine``,
``ray_driver`` (the queue), ``ray_cluster`` (all that knows Ray), ``ray_task`` (what a node does),
``exchange`` (what is carried between them).
"""
