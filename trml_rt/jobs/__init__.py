"""Answer on an archive of rows: in parts that survive a kill, by workers that may crash."""

from trml_rt.jobs.merge import merge_jobs
from trml_rt.jobs.run import run_job
from trml_rt.jobs.summary import JobReport

__all__ = ["JobReport", "merge_jobs", "run_job"]
