"""Bring a model and data, and confirm how the data are read.

===============  ==================================================================================
``brought``      what was brought, and the looks at it: files are opened in a process of their own
``model``        the step that takes a model and says what it is
``data``         the step that takes data and shows them as the model will see them
``reading``      how the data are read: guessed, said where from, and editable
``samples``      samples of data: pictures, lines, rows
``present``      the pair that the Lab shows, opened again
``unconfirmed``  what other pages say before that, and where accuracy is near chance
``confirm``      the check on a few hundred samples, what would do better, and the way to the Lab
===============  ==================================================================================
"""
