"""What a plugin author implements, and what crosses the boundary between the core and a plugin.

Nothing here imports the rest of Dovetail.
"""
