"""How to write a cluster: what starts the shards of a study on other machines.

A package names a callable that returns a `Cluster` in the entry-point group `llem.clusters`;
`study submit --on NAME` uses it. Its argument is a mapping of settings from the command line, which
replace those of this machine, or None. docs/clusters.md describes what happens to the shards.

A cluster never waits for a job: the files of a study say which runs are done.
"""

from llem_runner._errors import SubmissionObstructed, SubmissionRefused, SubmissionUnknown
from llem_runner._gpus.grant import granted_gpus
from llem_runner._plan.shards import Shard
from llem_runner._shards.cancel import cancel_study
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.cluster_registry import cluster_names, find_cluster, find_place
from llem_runner._shards.node_meter import (
    JobStart,
    NodeMeter,
    NodeQuestion,
    NodeReading,
    ask_node_energy,
)
from llem_runner._shards.records import (
    Needs,
    Place,
    ShardPhase,
    ShardPlan,
    ShardState,
    Submission,
)
from llem_runner._shards.submission import (
    SubmittedStudy,
    cluster_states,
    preview,
    resubmit_shards,
    submit_shards,
    submit_study,
)
from llem_runner._storage.node_energy import Coverage, damaged_node_energy
from llem_runner._storage.tickets import Ticket, read_tickets

__all__ = [
    "Cluster",
    "Coverage",
    "JobStart",
    "Needs",
    "NodeMeter",
    "NodeQuestion",
    "NodeReading",
    "Place",
    "Shard",
    "ShardPhase",
    "ShardPlan",
    "ShardState",
    "Submission",
    "SubmissionObstructed",
    "SubmissionRefused",
    "SubmissionUnknown",
    "SubmittedStudy",
    "Ticket",
    "ask_node_energy",
    "cancel_study",
    "cluster_names",
    "cluster_states",
    "damaged_node_energy",
    "find_cluster",
    "find_place",
    "granted_gpus",
    "preview",
    "read_tickets",
    "resubmit_shards",
    "submit_shards",
    "submit_study",
]
