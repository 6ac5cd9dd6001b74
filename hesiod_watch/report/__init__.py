"""Pages for people: one for each cell, one for each run, and files that MultiQC picks up.

    qc document ─▶ reading (typed, forgiving) ─▶ plots, tables ─▶ page (template, style, policy) ─▶
    one HTML file

A page is self-contained: no script, no request, nothing beside it; it opens from a disk, from a
mail or from a web server, in ten years too. Every text in it is taken for hostile (`words.visible`,
autoescape), and the page's own Content-Security-Policy would stop what got through.

Nothing is imported here, so that `report.covers` costs its reader no template engine.
"""
