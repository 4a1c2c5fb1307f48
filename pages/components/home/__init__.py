"""Parts of the first page.

==========  ====================================================
``links``   recipes and runs in an address without a page
``doors``   what this is, and the three ways in
``tour``    the default model, step by step
``latest``  the runs of last
==========  ====================================================
"""
