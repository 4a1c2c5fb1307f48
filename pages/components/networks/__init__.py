"""Parts of the page that searches architectures.

===========  ====================================================================
``asking``   space, limits, budget, and the button that starts
``results``  the live front, the networks, how far proxies can be trusted
``chosen``   one network: its layers, training to the end, and the way to the Lab
``explored``  sliders over the networks of a supernet
``shown``    what a search has so far, as charts and tables need it
``charts``   still charts
===========  ====================================================================
"""
