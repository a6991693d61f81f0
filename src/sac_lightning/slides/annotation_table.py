"""Measurements as an AnnData table in a Zarr group, as SpatialData joins it with the nuclei that it is about."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

REGION = "region"
# AnnData's names and versions of its encodings.
ANNDATA, DATAFRAME, CATEGORICAL = ("anndata", "0.1.0"), ("dataframe", "0.2.0"), ("categorical", "0.2.0")
ARRAY, TEXTS, TEXT, DICTIONARY = (
    ("array", "0.2.0"),
    ("string-array", "0.2.0"),
    ("string", "0.2.0"),
    ("dict", "0.1.0"),
)


def write_table(
    parent: Any, name: str, values: NDArray[np.float64], columns: list[str], region: str, instance: str
) -> None:
    """Write a table of a row per nucleus.

    Args:
        parent: Zarr group (of Zarr 2) that gets it.
        name: Of the table.
        values: (N, C); the first column is the number of the nucleus.
        columns: Their C names.
        region: The element that the rows are about.
        instance: Name of the column of its instances' numbers.
    """
    keys = {"region": region, "region_key": REGION, "instance_key": instance}
    table = _group(parent, name, ANNDATA)
    table.attrs.update({**keys, "spatialdata-encoding-type": "ngff:regions_table", "version": "0.1"})
    _array(table, "X", values[:, 1:])
    numbers = values[:, 0].astype(np.int64)
    rows = _group(table, "obs", DATAFRAME)
    rows.attrs.update({"_index": "_index", "column-order": [REGION, instance]})
    _texts(rows, "_index", [str(number) for number in numbers])
    _array(rows, instance, numbers)
    regions = _group(rows, REGION, CATEGORICAL)
    regions.attrs["ordered"] = False
    _array(regions, "codes", np.zeros(len(numbers), dtype=np.int8))
    _texts(regions, "categories", [region])
    variables = _group(table, "var", DATAFRAME)
    variables.attrs.update({"_index": "_index", "column-order": []})
    _texts(variables, "_index", columns[1:])
    for empty in ("layers", "obsm", "obsp", "varm", "varp"):
        _group(table, empty, DICTIONARY)
    attributes = _group(_group(table, "uns", DICTIONARY), "spatialdata_attrs", DICTIONARY)
    for key, value in keys.items():
        text = attributes.create_array(key, shape=(), dtype=str, attributes=_encoding(TEXT))
        text[...] = value


def _encoding(kind: tuple[str, str]) -> dict[str, str]:
    return {"encoding-type": kind[0], "encoding-version": kind[1]}


def _group(parent: Any, name: str, kind: tuple[str, str]) -> Any:
    return parent.create_group(name, attributes=_encoding(kind))


def _array(parent: Any, name: str, values: NDArray[Any]) -> None:
    parent.create_array(name, data=values, attributes=_encoding(ARRAY))


def _texts(parent: Any, name: str, values: list[str]) -> None:
    array = parent.create_array(name, shape=(len(values),), dtype=str, attributes=_encoding(TEXTS))
    array[...] = np.array(values, dtype=np.dtypes.StringDType())
