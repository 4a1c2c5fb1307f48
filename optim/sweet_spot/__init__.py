"""Which runtime, how many threads and samples at once: one model measured on this machine.

==========  ====================================================================================
grid        what was measured, as plain data, and the best of it under a limit
runtimes    what executes a model here, and why something does not
measuring   fills the grid, runtimes in turns
child       does so in a process of its own and keeps what came out
kept        where that lies
==========  ====================================================================================
"""
