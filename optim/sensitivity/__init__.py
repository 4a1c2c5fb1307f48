"""Which layers a model can spare: every technique tried on one layer at a time.

==========  ====================================================================================
trials      what can be tried: techniques with settings of single layers, and their levels
analysis    tries them on samples, few at first, and tells what each costs in quality
profile     what came out, as plain data
spread      from that to one setting a layer, under the cost of a common setting
kept        where a profile lies until model or data change
child       does the analysis in a process of its own
==========  ====================================================================================
"""
