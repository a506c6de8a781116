"""`refi audit`: checks of what the platform discloses, by code that takes its answers for claims."""
