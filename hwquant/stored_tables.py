"""Tables of layers in a ``.hwq`` file: their values as an array, the rest as JSON."""

from __future__ import annotations

from hwquant.errors import HwquantError
from hwquant.qgraph import Table
from hwquant.record import Arrays, Record


def encode_table(table: Table | None, place: str, arrays: Arrays) -> dict[str, object]:
    """Make the JSON of a layer's table, and add its values to the arrays of a file; nothing where there is none."""
    if table is None:
        return {}
    arrays[f"{place}/table"] = table.values
    return {"table": {"scale": table.scale, "zero_point": int(table.zero_point)}}


def decode_table(record: Record, arrays: Arrays) -> Table | None:
    """The table of a layer, where it has one."""
    values = record.optional_array(arrays, "table")
    if ("table" in record.value) != (values is not None):
        raise HwquantError(f"{record.where} has half of a table")
    if values is None:
        return None
    if values.ndim != 1 or not len(values):
        raise HwquantError(f"{record.where} has a table of shape {values.shape}, not one dimension")
    item = record.record("table")
    return Table(values, item.real("scale"), item.integer("zero_point"))
