"""What the pages that look into a model are made of."""
