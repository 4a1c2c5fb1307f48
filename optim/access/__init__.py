"""Who is there, what they may do, and what is written down about it.

============  ====================================================================
``names``     ids of users and guests, and names that nobody can guess
``settings``  what the operator has set: presentation, limits, retention
``audit``     the log of who did what
============  ====================================================================
"""
