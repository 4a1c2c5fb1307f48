"""Search: what nobody wants to try by hand, tried within a budget of time.

=============  =================================================================================
``space``      what may be tried, read off the fields of techniques and architectures
``figures``    what can be weighed or limited
``goals``      what is asked for: objectives and limits
``target``     the device that it is asked for
``candidate``  what was tried, and what came of it
``front``      what nothing else beats; hypervolume; knee
``choosing``   the answer: front, the one to take, the closest miss
``found``      what was found, as plain data and as files
``plain``      what is checked of plain data from anybody
``samplers``   which point is tried next
``lineage``    who comes from whom
``study``      what is kept in a database, so that a search can be stopped and gone on with
``session``    what every search shares while it goes on
``budget``     seconds that outlive the process which spends them
``watch``      who hears what is done, sees what there is, and may stop it
``autopilot``  the search for recipes
``nas``        the search for architectures
=============  =================================================================================
"""
