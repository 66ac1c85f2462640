"""The one place that writes: whole or not at all, one writer a place, nothing left behind.

==============  ====================================================================
``places``      files and folders are replaced: staged beside, locked, exchanged, recovered
``folders``     folders of tools: temporary ones, and what stays for the user to look at
``cache``       results that are kept, with digests and a limit
``append``      files that only grow
``reading``     what a file may be before its bytes are read; TOML; strict JSON; digests in JSON
``npy``         headers of arrays, checked before memory is taken
==============  ====================================================================

No other module of the package calls what changes the disk; ``tests/test_writing.py`` sees to it.
"""

from hwquant.files.append import AppendedFile
from hwquant.files.cache import cache_folder, cached, entry_name
from hwquant.files.folders import leave, working_folder
from hwquant.files.places import (
    alone,
    check_name,
    keeping,
    make_folder,
    recover,
    remove,
    remove_empty,
    replacing,
    update_bytes,
    write_bytes,
    write_together,
)
from hwquant.files.reading import (
    digest,
    json_bytes,
    parse_json,
    parse_toml,
    read_bytes,
    read_ordinary,
    sealed,
    unsealed,
)

__all__ = [
    "AppendedFile",
    "alone",
    "cache_folder",
    "cached",
    "check_name",
    "digest",
    "entry_name",
    "json_bytes",
    "keeping",
    "leave",
    "make_folder",
    "parse_json",
    "parse_toml",
    "read_bytes",
    "read_ordinary",
    "recover",
    "remove",
    "remove_empty",
    "replacing",
    "sealed",
    "unsealed",
    "update_bytes",
    "working_folder",
    "write_bytes",
    "write_together",
]
