"""One model on every device: whether it fits, how fast it is, what limits it, what would help.

=========  =====================================================================================
footprint  what a deployed model asks of a device, in figures
rungs      the answer for one device
changes    the cheapest change with which it fits, found by trying
checking   predicted against measured on this machine, for the zoo
clock      what splits the time of operators on a device
reasons    every reason why time did not fall further
why        why a step brings no speed-up, in numbers
=========  =====================================================================================
"""
