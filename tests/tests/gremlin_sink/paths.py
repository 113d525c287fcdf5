"""What gremlinpython sees of an incident: its cause, its reach, and what the causal edge says."""

import json
import sys

from gremlin_python.driver.driver_remote_connection import DriverRemoteConnection
from gremlin_python.process.anonymous_traversal import traversal
from gremlin_python.process.graph_traversal import __
from gremlin_python.process.traversal import P, T

endpoint, incident, dataset = sys.argv[1:]
connection = DriverRemoteConnection(endpoint, "g")
g = traversal().with_remote(connection)
# From the change that is blamed with confidence to the incident.
cause = (
    g.V()
    .has_label("Deployment")
    .where(__.out_e("INTRODUCED").has("confidence", P.gte(0.5)))
    .repeat(__.out("INTRODUCED", "CAUSED", "TRIGGERED"))
    .until(__.has_id(incident))
    .path()
    .by(T.id)
    .next()
)
reach = (
    g.V(dataset)
    .repeat(__.out("FEEDS", "WRITES", "CONSUMED_BY").simple_path())
    .until(__.has_label("Dashboard"))
    .path()
    .by(T.id)
    .next()
)
blame = g.V(cause[0]).out_e("INTRODUCED").value_map("confidence", "since").next()
connection.close()
print(json.dumps({"cause": list(cause), "reach": list(reach), **blame}))
