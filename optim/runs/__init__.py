"""Runs: work that outlives the page, the server and the process that does it.

==============  ==============================================================================
``run``         what a run is, and its states
``store``       :class:`~optim.runs.store.RunStore`: submit, look, cancel, pause, resume, delete
``engine``      who works on the queue: this machine, started by ``engine().ensure()``
==============  ==============================================================================

Behind them: ``database`` and ``schema`` (SQL), ``artefacts`` (files), ``lease`` (what a worker may
write, and until when), ``checkpoint`` (where a step goes on), ``supervisor`` and ``job`` (the
processes), ``jobs`` (the kinds of work), ``tidy``.
"""
