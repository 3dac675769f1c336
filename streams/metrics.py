"""Every metric of the worker, named once.  Counters move only after the transaction has committed."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS_IN = Counter("khaywe_records_in_total", "Records read and committed.", ["topic"])
RECORDS_OUT = Counter("khaywe_records_out_total", "Records written and committed.", ["topic"])
BATCH_RECORDS = Histogram(
    "khaywe_batch_records",
    "Records in a poll that had any.",
    ["app"],
    buckets=(1, 10, 100, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000),
)
TRANSACTION_SECONDS = Histogram(
    "khaywe_transaction_seconds",
    "Time of a transaction from begin to committed.",
    ["app"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
ABORTS = Counter(
    "khaywe_transaction_aborts_total",
    "Transactions that were aborted; their records are read again.",
    ["app"],
)
STALE_BATCHES = Counter(
    "khaywe_stale_batches_total", "Batches dropped because their epoch had ended.", ["app"]
)
BROKEN_CHAINS = Counter(
    "khaywe_broken_chains_total", "Batches that did not begin where the last one ended; read again.", ["app"]
)
CLIENTS_REPLACED = Counter(
    "khaywe_clients_replaced_total",
    "Clients of Kafka given up and made anew: no_broker, no_positions, silent_partition, producer.",
    ["app", "why"],
)
TAKEOVERS = Counter("khaywe_takeovers_total", "Times this worker took partitions over.", ["app"])
TAKEOVER_SECONDS = Gauge(
    "khaywe_takeover_seconds", "Time the last take-over needed, restore included.", ["app"]
)
PARTITIONS = Gauge("khaywe_partitions", "Partitions read by this worker now.", ["app"])
LAG = Gauge(
    "khaywe_lag_records",
    "Offsets between the position and the partition's end, as last seen.",
    ["topic", "partition"],
)
PROJECTED = Counter(
    "khaywe_projected_records_total", "Records that the projector has read and written to SQL.", ["topic"]
)
PROJECTION_LAG = Gauge(
    "khaywe_projection_lag_records",
    "Offsets between the projector's position and the partition's end, as last seen.",
    ["topic", "partition"],
)
LAST_COMMIT = Gauge(
    "khaywe_last_commit_timestamp_seconds", "When the last transaction committed (Unix time).", ["app"]
)
EVENTS = Counter(
    "khaywe_events_total", "What the fold counted, by kind (events, duplicates, late_events ...).", ["kind"]
)
DEAD = Counter("khaywe_dead_letters_total", "Records that could not be used.", ["source", "reason"])
ROWS = Gauge("khaywe_customer_rows", "Customers known to this worker.", ["partition"])
RESTORE_DONE = Gauge(
    "khaywe_restore_records", "Changelog offsets read by the running or last restore.", ["partition"]
)
RESTORE_TOTAL = Gauge(
    "khaywe_restore_records_total_expected",
    "Changelog offsets the running or last restore needs.",
    ["partition"],
)
CATALOG_REVISION = Gauge("khaywe_catalog_revision", "The newest catalog revision this worker has read.")
STAGE_SECONDS = Counter(
    "khaywe_stage_seconds_total", "Time spent in each stage of the work.", ["app", "stage"]
)
PREDICTIONS = Counter("khaywe_predictions_total", "Predictions written, by model.", ["model"])
MODEL = Gauge("khaywe_model", "1 for the version of each model that answers.", ["model", "version"])
MODEL_REFUSALS = Counter(
    "khaywe_model_refusals_total",
    "Activated versions that could not be used; the old one goes on.",
    ["model"],
)
FEATURE_DRIFT = Gauge(
    "khaywe_feature_drift",
    "Population stability index of a feature of rows served lately against training.",
    ["feature"],
)
SCORE_DRIFT = Gauge("khaywe_score_drift", "The same of a model's predictions.", ["model", "target"])
NOTIFICATIONS = Counter(
    "khaywe_notifications_total",
    "Tries to deliver to subscriptions: delivered, failed; and dead, those that were given up.",
    ["result"],
)
NOTIFICATION_LAG = Gauge(
    "khaywe_notification_lag_records",
    "Offsets between a subscription's positions and the partitions' ends, as last seen.",
    ["subscription"],
)
NOTIFICATIONS_SUSPENDED = Gauge(
    "khaywe_notifications_suspended", "Subscriptions that took nothing for so long that they are suspended."
)
