"""What keeps a data store small and sound: what refers to what, collecting, usage, verifying, copying, deleting runs.

Everything here works on the data-store interface alone.
"""
