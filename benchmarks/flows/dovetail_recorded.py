"""How many calls of `work` are on record as succeeded, of the newest run of a flow: `dovetail_recorded.py FLOW`."""

import sys

from dovetail.client import Flow

states = Flow(sys.argv[1]).latest_run["work"].table(["state"])["state"]
print("MARK recorded", sum(state == "succeeded" for state in states))
