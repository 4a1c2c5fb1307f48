"""Parts of the presentation of snapshots.

==========  ===================================================================
``slides``  one snapshot at a time, in large type
``deck``    what its address names, and that it stands without a frame
``keys``    arrow keys as events of the page
==========  ===================================================================
"""
