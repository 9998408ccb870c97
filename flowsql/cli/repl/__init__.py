"""The prompt: `flowsql` alone on a terminal.

`prompt` reads statements, `shell` carries them out; `view` is the live table, `table` what it holds,
`page` how that looks. `commands` are the shell's own words, known to files and pipes as well.
prompt-toolkit is imported by `prompt` and `view` only.
"""

from __future__ import annotations
