"""The processes in which an executor has packs trained: a worker and its task, and the jobs that attend one."""
