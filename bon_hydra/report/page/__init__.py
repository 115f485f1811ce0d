"""The page of `bon report`: one HTML file with figures and a reader, that needs nothing but itself.

`document` writes it; `queries` counts, `sample` chooses what is held, `texts` packs what was asked and answered,
`figures` and `pairs` put beside the summary what is drawn. What runs in the browser is `js/`, `page.css` and
`page.html.j2`; `libraries/` comes from npm (scripts/page_libraries) and is not edited.
"""
