"""Looking at runs: what a run's file says in numbers (`summary`), in tables (`tables`), and to read (`reader`)."""
