"""Report pages: one for each cell, one for each run, and files for MultiQC.

    qc document ─▶ document (typed, tolerant) ─▶ plots, tables
                ─▶ page (template, style, policy) ─▶ one HTML file

A page is self-contained: no script, no request, no other file. It opens from a disk, a mail or a
web server, and still does in ten years. Every text in it is treated as hostile
(`formatting.visible`, autoescape). If an attack passes these, the page's own
Content-Security-Policy blocks it.

This module imports nothing, so that a reader of one module does not load the template engine.
"""
