"""``report.html``: a build folder as one page for people, in any browser, without a network."""

from hwquant.page.page import write_page
from hwquant.page.record import Accuracy, Record, load_record, save_record, update_record

__all__ = ["Accuracy", "Record", "load_record", "save_record", "update_record", "write_page"]
