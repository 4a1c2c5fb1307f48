"""Workshops: a room with a code, people in it, challenges, and what was entered.

===========  ================================================================
``room``     what a room, a participant and a standing are: plain values
``rooms``    rooms in the store of runs: join, come back, enter, freeze
``board``    who leads, told from what was measured
``network``  addresses of this machine, and whether they can be reached
===========  ================================================================
"""
