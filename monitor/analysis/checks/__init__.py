"""The checks that run on every window, one file a subject."""

from monitor.analysis.checks.attributions import AttributionDrift, AttributionNdcg
from monitor.analysis.checks.base import Answer, BaseCheck
from monitor.analysis.checks.completeness import BadRecords, DuplicateIds, MissingShare, NullIds
from monitor.analysis.checks.drift import DriftScore
from monitor.analysis.checks.forecast import Revision
from monitor.analysis.checks.labels import (
    EarlyLabels,
    LabelDrift,
    LabelNewClass,
    LabelOutOfRange,
    LabelTypeMismatch,
    UnmatchedLabels,
    UnreadableLabels,
)
from monitor.analysis.checks.own import EstimatedOwnMetrics, OwnMetrics
from monitor.analysis.checks.performance import EstimatedPerformance, Performance
from monitor.analysis.checks.predictions import UnusablePredictions
from monitor.analysis.checks.range import InfiniteShare, NewCategory, OutOfRange, StuckValue
from monitor.analysis.checks.ranking import ItemCoverage, Novelty
from monitor.analysis.checks.relations import DigitsScore, RelationScore
from monitor.analysis.checks.schema import ColumnAdded, ColumnMissing, DuplicateColumn, TypeMismatch
from monitor.analysis.checks.text import EmbeddingScore, EmbeddingsDrift, TextScore
from monitor.analysis.checks.times import MisdatedRows
from monitor.analysis.checks.visibility import PerformanceVisibility
from monitor.analysis.checks.volume import NoData, RowCount, VolumeShare
from monitor.analysis.checks.weak_segments import WeakSegments

REGISTRY: tuple[BaseCheck, ...] = (
    NoData(),
    RowCount(),
    VolumeShare(),
    MissingShare(),
    ColumnMissing(),
    ColumnAdded(),
    TypeMismatch(),
    DuplicateColumn(),
    InfiniteShare(),
    OutOfRange(),
    NewCategory(),
    StuckValue(),
    MisdatedRows(),
    BadRecords(),
    DuplicateIds(),
    NullIds(),
    UnusablePredictions(),
    DriftScore(),
    RelationScore(),
    DigitsScore(),
    AttributionDrift(),
    AttributionNdcg(),
    TextScore(),
    EmbeddingScore(),
    EmbeddingsDrift(),
    ItemCoverage(),
    Novelty(),
    Revision(),
    EstimatedPerformance(),
    PerformanceVisibility(),
    UnmatchedLabels(),
    EarlyLabels(),
    UnreadableLabels(),
    LabelTypeMismatch(),
    LabelOutOfRange(),
    LabelNewClass(),
    Performance(),
    EstimatedOwnMetrics(),
    OwnMetrics(),
    WeakSegments(),
    LabelDrift(),
)

__all__ = ["REGISTRY", "Answer", "BaseCheck"]
