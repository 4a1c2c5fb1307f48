"""What the pages about devices are made of: the ladder, one rung, effects of steps, probing."""
