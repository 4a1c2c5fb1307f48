"""A workshop on a page.

==============  ===============================================================
``me``          which room this server holds, who looks, and who leads
``door``        joining, and coming back
``challenges``  what is played for: entering, own entries, who leads
``editing``     what is played for, changed by who leads
``instructor``  for who leads: address, people, freeze, results
==============  ===============================================================
"""
