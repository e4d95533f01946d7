"""Give the site a place for each file outside of docs/ that one of its pages links to.

In the repository such a link leads to the file itself, and tests hold them to that. On the site it
leads to a copy below `repository/`. A picture is copied as it is, a Markdown page becomes a page,
and any other text becomes a page that shows it. A link that leads to no file stays as it is, and
mkdocs refuses it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

_ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
_COPIES = "repository"
_PICTURES = (".png", ".jpg", ".svg")
_LANGUAGES = {".h": "c", ".hpp": "cpp"}  # where the suffix is not its name


def on_files(files: Files, *, config: Any) -> Files:
    """Add the files outside of docs/ that its pages link to, and those that these link to."""
    links = [
        target
        for page in files.documentation_pages()
        for target in _outside(page.src_uri, page.content_string)
    ]
    while links:
        path = links.pop()
        if not (_ROOT / path).is_file() or _place(path) in files.src_uris:
            continue
        if path.endswith(_PICTURES):
            files.append(_copy(config, path, abs_src_path=str(_ROOT / path)))
            continue
        content = (_ROOT / path).read_text("utf-8")
        if path.endswith(".md"):
            # Their links count from the root of the repository, which is no folder of the site.
            links += [posixpath.join(posixpath.dirname(path), to) for to in _LINK.findall(content)]
        else:
            suffix = posixpath.splitext(path)[1]
            language = _LANGUAGES.get(suffix, suffix.removeprefix("."))
            content = f"# {path}\n\n````{language}\n{content}\n````\n"
        files.append(_copy(config, path, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, files: Files, **_: Any) -> str:
    """Return the page with its links to files outside of docs/ led to their copies."""
    here = page.file.src_uri
    folder = posixpath.dirname(here)
    origin = f"../{folder.removeprefix(_COPIES).strip('/')}" if here.startswith(_COPIES) else folder

    def led(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(origin, match[1]))
        if not target.startswith("../"):
            return match[0]
        copy = _place(target.removeprefix("../"))
        return posixpath.relpath(copy, folder or ".") if copy in files.src_uris else match[0]

    return _LINK.sub(led, markdown)


def _outside(page: str, markdown: str) -> list[str]:
    """Return the paths in the repository that a page of docs/ links to, outside of docs/."""
    folder = posixpath.dirname(page)
    targets = [posixpath.normpath(posixpath.join(folder, to)) for to in _LINK.findall(markdown)]
    return [to.removeprefix("../") for to in targets if to.startswith("../")]


def _place(path: str) -> str:
    """Return where the copy of a file of the repository lies in the sources of the site."""
    name = path if path.endswith((".md", *_PICTURES)) else f"{path}.md"
    return f"{_COPIES}/{posixpath.normpath(name)}"


def _copy(config: Any, path: str, **source: str) -> File:
    return File.generated(config, _place(path), inclusion=InclusionLevel.NOT_IN_NAV, **source)
