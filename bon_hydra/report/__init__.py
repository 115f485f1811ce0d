"""Looking at runs: what a file says in numbers (`counts`, `summary`), in tables (`tables`), to read (`reader`)."""
