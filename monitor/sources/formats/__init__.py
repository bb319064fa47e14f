"""The formats of records, in a registry: a new one is a file beside this, and a line in it."""

from __future__ import annotations

from monitor.sources.formats.azureml import AzureML
from monitor.sources.formats.base import Format
from monitor.sources.formats.bentoml import BentoML
from monitor.sources.formats.databricks import Databricks
from monitor.sources.formats.kserve import KServe, Seldon
from monitor.sources.formats.mlflow import MLflow
from monitor.sources.formats.sagemaker import SageMaker, SageMakerLabels
from monitor.sources.formats.vertex import Vertex

# The first that recognises a record reads it.
FORMATS: tuple[Format, ...] = (
    SageMaker(),
    SageMakerLabels(),
    Databricks(),
    KServe(),
    AzureML(),
    Seldon(),
    Vertex(),
    MLflow(),
    BentoML(),
)


def format_named(name: str) -> Format:
    """A format by its name, of those in the registry."""
    return next(record_format for record_format in FORMATS if record_format.name == name)
