"""Devices: what they are, and how long a network takes there.

===========  ===================================================================================
probe        one file that measures single operators on any board with ONNX Runtime
calibration  from such measurements to the latency of a network
operators    what a runtime executes for one inference: plain data
===========  ===================================================================================
"""
