"""Parts of the presentation of snapshots.

==========  ===================================================================
``slides``  one snapshot at a time, in large type
``keys``    arrow keys as events of the page
==========  ===================================================================
"""
