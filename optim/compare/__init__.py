"""Any models side by side: what each is, and how each differs from a chosen reference.

============  ==================================================================================
``vectors``   what models said about samples, kept under what the answers depend on
``contest``   figures, paired differences, classes and layers of models against a reference
============  ==================================================================================
"""
