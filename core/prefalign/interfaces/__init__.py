"""Ground floor: what a plugin implements. Read record, verdict, scores, policy, objective, in that order."""

from prefalign.interfaces.builder import Stage, StageReport
from prefalign.interfaces.encoder import Encoder
from prefalign.interfaces.errors import CapabilityError, PrefalignError, RecordError, unknown_name
from prefalign.interfaces.objective import Objective, ObjectiveOutput
from prefalign.interfaces.policy import NEEDS, Codec, Extension, Policy
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response, Segment, Slot
from prefalign.interfaces.reward import Reward, RewardOutput
from prefalign.interfaces.scores import Batch, Relations, ResponseScores
from prefalign.interfaces.source import RecordSource
from prefalign.interfaces.verdict import Group, Pair, Ranking, Unary, Verdict

__all__ = [
    "NEEDS",
    "Batch",
    "CapabilityError",
    "Codec",
    "Encoder",
    "Extension",
    "Group",
    "Media",
    "Message",
    "Objective",
    "ObjectiveOutput",
    "Pair",
    "Policy",
    "PrefalignError",
    "PreferenceRecord",
    "Prompt",
    "Ranking",
    "RecordError",
    "RecordSource",
    "Relations",
    "Response",
    "ResponseScores",
    "Reward",
    "RewardOutput",
    "Segment",
    "Slot",
    "Stage",
    "StageReport",
    "Unary",
    "Verdict",
    "unknown_name",
]
