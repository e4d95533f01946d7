"""Take links out of the site that lead outside of docs/, where the site has no page for them.

In the repository they lead somewhere, and tests hold them to that.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(!?)\[([^]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page with its links to files of the repository as plain words."""
    folder = posixpath.dirname(page.file.src_uri)

    def plain(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[3]))
        if not target.startswith("../"):
            return match[0]
        path = target.removeprefix("../")
        return f"(picture: `{path}`)" if match[1] else f"{match[2]} (`{path}`)"

    return _LINK.sub(plain, markdown)
