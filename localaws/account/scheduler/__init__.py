"""EventBridge Scheduler: schedules with time zones, their groups, targets and retries."""
