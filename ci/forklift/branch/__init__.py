"""A change becomes a branch, and an edited tree a change again."""
