//! The families of the workers, the host, the control port and the build.

use super::Kind::{Counter, Gauge, Histogram as Distribution};
use super::Source::{Control, Merged, Worker};
use super::{CONNECT_BUCKETS, Cells, Family, LAG_BUCKETS, family};

pub const FAMILIES: &[Family] = &[
    // Workers
    family(
        "worker_connections",
        Gauge,
        Worker(Cells::client_sockets),
        "Client connections this worker serves now, of both services.",
    )
    .labels(&["worker"]),
    family(
        "worker_connections_skew_ratio",
        Gauge,
        Control,
        "Connections of the worker with the most, by the mean of all: 1 is even, the number of workers is all on one. Noise while there are few.",
    )
    .unit("ratio"),
    family("worker_busy_seconds", Counter, Control, "CPU time this worker's thread has used.")
        .unit("seconds")
        .labels(&["worker"]),
    family(
        "worker_busy_skew_ratio",
        Gauge,
        Control,
        "CPU time over the last second of the busiest worker, by the mean of all; 1 while they use less than a hundredth of a CPU each.",
    )
    .unit("ratio"),
    family(
        "worker_runnable_wait_seconds",
        Counter,
        Control,
        "Time this worker's thread was ready to run and had no CPU: others of the host had it.",
    )
    .unit("seconds")
    .labels(&["worker"]),
    family(
        "worker_timeslices",
        Counter,
        Control,
        "Times this worker's thread was given a CPU: at least once for each time its ring let it sleep.",
    )
    .labels(&["worker"]),
    family(
        "worker_loop_lag_seconds",
        Distribution,
        Merged(|c| &c.loop_lag),
        "How late a worker's tick came: the time its loop was held by other work.",
    )
    .unit("seconds")
    .buckets(LAG_BUCKETS),
    family("worker_heartbeat_age_seconds", Gauge, Control, "Time since this worker last said it lives.")
        .unit("seconds")
        .labels(&["worker"]),
    family(
        "worker_generation",
        Gauge,
        Worker(|c| c.generation.get()),
        "The generation of the configuration that this worker serves under.",
    )
    .labels(&["worker"]),
    family("worker_driver", Gauge, Control, "1 for the driver this worker waits with.")
        .labels(&["worker", "driver"]),
    family(
        "worker_io_submissions",
        Counter,
        Worker(|c| c.submissions.get()),
        "Waits handed to the ring (or to epoll).",
    )
    .labels(&["worker"]),
    family("worker_io_completions", Counter, Worker(|c| c.completions.get()), "Waits that came back.")
        .labels(&["worker"]),
    family(
        "worker_tasks_panicked",
        Counter,
        Worker(|c| c.tasks_panicked.get()),
        "Tasks that panicked alone.",
    )
    .labels(&["worker"]),
    family(
        "worker_connections_handed_over",
        Counter,
        Worker(|c| c.handed_over.get()),
        "Accepted sockets given to a less loaded worker.",
    )
    .labels(&["worker"]),
    family(
        "worker_accept_backoffs",
        Counter,
        Worker(|c| c.accept_backoffs.get()),
        "Pauses of a listener because descriptors or memory ran out.",
    )
    .labels(&["worker"]),
    family(
        "worker_inbox_messages",
        Counter,
        Worker(|c| c.inbox_messages.get()),
        "Messages read from the inbox.",
    )
    .labels(&["worker"]),
    family(
        "worker_test_events",
        Counter,
        Worker(|c| c.test_events.get()),
        "Events that `POST /api/v1/metrics/test` had counted: 0 but in smoke tests.",
    )
    .labels(&["worker"]),
    family(
        "worker_pipes_in_use",
        Gauge,
        Worker(|c| c.pipes_in_use.get()),
        "Pipes lent to splicing directions.",
    )
    .labels(&["worker"]),
    family(
        "worker_pipe_pool_misses",
        Counter,
        Worker(|c| c.pipe_pool_misses.get()),
        "Directions that stayed with copying because no pipe was to be had.",
    )
    .labels(&["worker"]),
    family(
        "worker_splice_starts",
        Counter,
        Worker(|c| c.splice_starts.get()),
        "Changes of a direction from copying to splicing.",
    )
    .labels(&["worker"]),
    // The history
    family(
        "history_last_write_successful",
        Gauge,
        Control,
        "1 while what was counted is written into the history; 0: the log says why not.",
    ),
    family("history_write_failures", Counter, Control, "Times the history could not be opened or written."),
    family(
        "history_records_lost",
        Counter,
        Control,
        "Minutes that are in no history, because it could not be written for an hour or its thread did not keep up.",
    ),
    family("history_file_size_bytes", Gauge, Control, "The history's file, without its write-ahead log.")
        .unit("bytes"),
    // The host
    family(
        "socks5_system_cpu_usage_percent",
        Gauge,
        Control,
        "CPU use of the whole host over the last second.",
    ),
    family("socks5_system_memory_usage_bytes", Gauge, Control, "Memory in use on the host.").unit("bytes"),
    family("socks5_system_network_bytes", Counter, Control, "Bytes over the host's interfaces but loopback.")
        .unit("bytes")
        .labels(&["direction"]),
    // The control port
    family("http_requests", Counter, Control, "Requests answered on the control port.")
        .labels(&["method", "path", "status"]),
    family("http_request_duration_seconds", Distribution, Control, "Time to answer a control request.")
        .unit("seconds")
        .buckets(CONNECT_BUCKETS),
    family("http_requests_in_flight", Gauge, Control, "Control requests being answered now."),
    family(
        "control_auth_failures",
        Counter,
        Control,
        "Requests on the control port refused for where they came from or what they showed.",
    )
    .labels(&["kind"]),
    family("log_lines_dropped", Counter, Control, "Log lines dropped because the sink did not keep up."),
    // Alerts
    family("alerts_firing", Gauge, Control, "Alerts that fire now, silenced ones among them.").labels(&["severity"]),
    family("alerts_pending", Gauge, Control, "Alerts whose rule is broken, but not for long enough to fire.")
        .labels(&["severity"]),
    family("alert_silences", Gauge, Control, "Silences there are now."),
    family(
        "alert_webhook_deliveries",
        Counter,
        Control,
        "Messages to webhooks, by result: delivered; failed, an attempt that is made again; refused and queue_full, given up.",
    )
    .labels(&["result"]),
    // Build and configuration
    family("build_info", Gauge, Control, "1, with the version and the commit it was built from.")
        .labels(&["version", "commit"]),
    family(
        "config_generation",
        Gauge,
        Control,
        "How often a configuration has been applied since the start.",
    ),
    family(
        "config_last_reload_successful",
        Gauge,
        Control,
        "1 if the last reload of the configuration succeeded or changed nothing, 0 if it was refused; 1 before the first.",
    ),
    family(
        "config_last_reload_success_timestamp_seconds",
        Gauge,
        Control,
        "When the configuration in force was last read without a fault, in seconds since 1970 (UTC).",
    )
    .unit("seconds"),
    family(
        "config_reloads",
        Counter,
        Control,
        "Reloads of the configuration, by result: succeeded, failed, unchanged.",
    )
    .labels(&["result"]),
];
