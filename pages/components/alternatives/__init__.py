"""Parts of the pages that train side by side.

===========  ====================================================================
``page``     one page of a topic, from top to bottom
``chooser``  what is compared, and the button that starts it
``results``  curves while it trains; gap, time and changes when it is done
===========  ====================================================================
"""
