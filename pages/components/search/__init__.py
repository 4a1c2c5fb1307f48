"""Parts of the page that searches.

===========  ====================================================================
``asking``   what must hold, the budget, and the button that starts
``results``  the live front, what it says, and the candidates
``shown``    what a search has so far, as a page needs it
===========  ====================================================================
"""
