"""The page of `bon report`: one HTML file with figures and a reader, that needs nothing but itself.

`document` writes it; `sample` chooses the queries it holds, `texts` packs what was asked and answered, `figures`
puts numbers beside the summary that are drawn. What runs in the browser is `js/`, `page.css` and `page.html.j2`;
`libraries/` comes from npm (scripts/page_libraries) and is not edited.
"""
