"""Many models through one script."""
