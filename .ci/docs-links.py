#!/usr/bin/env python3
"""Usage: .ci/docs-links.py FOLDER. Fails unless each relative link of each page of the site leads to a file, and to an id in it."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]


site = Path(sys.argv[1]).resolve()
# 404.html is shown in place of any page, so its links begin at the site's root.
pages = {path: Page(path) for path in site.rglob("*.html") if path.name not in ("404.html", "toc.html")}
faults, seen = [], 0
for path, page in pages.items():
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        seen += 1
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        anchor = unquote(parts.fragment)
        if not target.is_file() or anchor and target in pages and anchor not in pages[target].ids:
            faults.append(f"{path.relative_to(site)}: {link}")
if faults or seen < 500:
    sys.exit("\n".join([f"{len(faults)} of {seen} links lead nowhere:", *faults]))
print(f"docs: {seen} links of {len(pages)} pages lead somewhere")
