"""A folder that sheets are dropped into: which are ready, where each is worked on, where it goes in the end."""
