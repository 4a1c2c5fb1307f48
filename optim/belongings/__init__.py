"""What belongs to whom: uploads, runs, files, trained results.

===========  ====================================================================
``found``    everything an owner has, and how much it is
``quota``    whether there is room for more
``removal``  remove what an owner has, or what nobody has used for long
===========  ====================================================================
"""
