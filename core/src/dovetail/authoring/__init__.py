"""What a flow author writes with: flows, steps, parameters, decorators, `current`.

The public names are those of `dovetail` itself. Nothing here imports more of the standard library than a
flow file needs; reading a flow (`describe`) lives apart from writing one.
"""
