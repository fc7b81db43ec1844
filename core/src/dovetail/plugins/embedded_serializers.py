"""The typed serializers of the core, as data: processes that run tasks build them without looking anything up."""

from __future__ import annotations

from dovetail.plugins.serializers import DeferredSerializer

__all__ = ["EMBEDDED", "embedded"]

_HOME = "dovetail.artifacts.serializers"

EMBEDDED: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "ndarray",
        f"{_HOME}.numpy_arrays:NumpySerializer",
        "NumPy arrays and scalars",
        ("numpy.ndarray", "numpy.generic"),
        ("numpy",),
    ),
    (
        "pandas",
        f"{_HOME}.pandas_frames:PandasSerializer",
        "pandas frames, series and indexes",
        # Since pandas 3 the public names are the qualified ones.
        (
            "pandas.DataFrame",
            "pandas.Series",
            "pandas.Index",
            "pandas.core.frame.DataFrame",
            "pandas.core.series.Series",
            "pandas.core.indexes.base.Index",
        ),
        ("pandas",),
    ),
    (
        "arrow",
        f"{_HOME}.arrow_tables:ArrowSerializer",
        "Arrow tables, record batches and arrays",
        ("pyarrow.lib.Table", "pyarrow.lib.RecordBatch", "pyarrow.lib.Array", "pyarrow.lib.ChunkedArray"),
        ("pyarrow",),
    ),
    (
        "polars",
        f"{_HOME}.polars_frames:PolarsSerializer",
        "polars frames and series",
        ("polars.dataframe.frame.DataFrame", "polars.series.series.Series", "polars.lazyframe.frame.LazyFrame"),
        ("polars", "pyarrow"),
    ),
    (
        "tensors",
        f"{_HOME}.tensors:TensorSerializer",
        "PyTorch tensors, JAX arrays, and dictionaries of tensors or NumPy arrays",
        ("torch.Tensor", "jaxlib._jax.ArrayImpl", "jaxlib.xla_extension.ArrayImpl", "builtins.dict"),
        (),
    ),
    (
        "file",
        f"{_HOME}.files:FileSerializer",
        "ArtifactFile",
        ("dovetail.interfaces.files.ArtifactFile",),
        (),
    ),
    (
        "directory",
        f"{_HOME}.files:DirectorySerializer",
        "ArtifactDirectory",
        ("dovetail.interfaces.files.ArtifactDirectory",),
        (),
    ),
    (
        "parquet",
        f"{_HOME}.parquet:ParquetSerializer",
        'frames and tables as Parquet, by Stored(..., "parquet")',
        (),  # by name alone
        ("pyarrow",),
    ),
)
"""(id, factory, summary, qualified names of the classes, modules that it needs) of each."""


def embedded() -> list[DeferredSerializer]:
    """A stand-in for each. Where what it needs is missing, values go to `pickle`."""
    return [
        DeferredSerializer(id, factory, types, needs, replaceable=True) for id, factory, _, types, needs in EMBEDDED
    ]
