"""One file to hand on: sliders over points that were computed ahead, without any server.

========  =====================================================================================
``grid``  which sliders, at which values, and what every combination gives
``page``  the points as one HTML file that asks nobody
========  =====================================================================================
"""
