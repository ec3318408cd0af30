"""What the server tells its operators: structured logs, metrics, the trace id that joins them."""
