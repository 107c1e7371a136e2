package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatehost/gatehost/host/internal/observe"
)

// Outcomes of a restart (B351).
const (
	Executed   = "executed"
	Suppressed = "suppressed" // joined to another one, or given up because the attempts were used up
)

// Results of a call to a gateway or a plugin.
const (
	OK           = "ok"
	Refused      = "refused" // the other side declared an error
	Timeout      = "timeout"
	Disconnected = "disconnected" // the connection, or the process, was lost or did not exist
	Cancelled    = "cancelled"    // cancelled by the caller
	Failed       = "failed"       // anything else
)

// Recorder counts what it is told and reads the rest from a snapshot at each scrape. Safe for concurrent use.
type Recorder struct {
	registry *prometheus.Registry
	causes   *limiter
	stages   *limiter

	starts        *prometheus.CounterVec
	startSeconds  *prometheus.HistogramVec
	stageSeconds  *prometheus.HistogramVec
	spawnSeconds  *prometheus.HistogramVec
	restarts      *prometheus.CounterVec
	commands      *prometheus.CounterVec
	reconnects    *prometheus.CounterVec
	delays        *prometheus.HistogramVec
	calls         *prometheus.CounterVec
	callSeconds   *prometheus.HistogramVec
	lost          *prometheus.CounterVec
	exits         *prometheus.CounterVec
	repairs       *prometheus.CounterVec
	pluginCalls   *prometheus.CounterVec
	pluginSeconds *prometheus.HistogramVec
	faults        prometheus.Counter
}

// Buckets in seconds. A real OpenClaw starts in 6 to 9 s and may take minutes; a call takes milliseconds and may take
// 30 s.
var (
	startBuckets = []float64{0.1, 0.5, 1, 2.5, 5, 7.5, 10, 15, 30, 60, 120, 480}
	callBuckets  = []float64{0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 120}
	delayBuckets = []float64{0, 0.5, 1, 2, 4, 8, 16, 30, 60, 300}
)

// New makes a recorder. Each scrape calls read, from any goroutine; read must not wait for anything.
func New(read func() Snapshot) *Recorder {
	r := &Recorder{registry: prometheus.NewRegistry(), causes: newLimiter(64), stages: newLimiter(64)}
	r.starts = r.counter("gateway_starts_total",
		"Starts that ended: running, failed (the next one follows), error or stopped.", "gateway", "outcome")
	r.startSeconds = r.histogram("gateway_start_duration_seconds", "From the beginning of a start to its end.",
		startBuckets, "gateway", "outcome")
	r.stageSeconds = r.histogram("gateway_start_stage_duration_seconds", "Time that starts spent in each stage.",
		startBuckets, "gateway", "stage")
	r.spawnSeconds = r.histogram("gateway_spawn_to_ready_seconds",
		"From the launch of the process to the moment when it accepts a connection.", startBuckets, "gateway")
	r.restarts = r.counter("gateway_restarts_total",
		"Restarts of the process by cause: executed, or suppressed by policy.", "gateway", "cause", "outcome")
	r.commands = r.counter("gateway_commands_total", "Commands of operators by their outcome.", "gateway", "action",
		"outcome")
	r.reconnects = r.counter("gateway_reconnects_total",
		"Automatic attempts to get the gateway back, with a new process or with a new session only.", "gateway",
		"kind", "cause", "outcome")
	r.delays = r.histogram("gateway_reconnect_delay_seconds", "Delays before automatic attempts.", delayBuckets,
		"gateway")
	r.calls = r.counter("gateway_rpc_calls_total",
		"Calls to the gateway by method and result; methods that the host does not know count as other.", "gateway",
		"method", "result")
	r.callSeconds = r.histogram("gateway_rpc_duration_seconds",
		"Time that calls to the gateway took, whatever their result.", callBuckets, "gateway")
	r.lost = r.counter("gateway_sessions_lost_total",
		"Sessions that ended and were not closed by the host, by WebSocket close code.", "gateway", "code")
	r.exits = r.counter("gateway_exits_total",
		"Ends of the gateway's process by exit code or signal; expected: the host was ending it.", "gateway", "code",
		"signal", "expected")
	r.repairs = r.counter("gateway_repairs_total", "Repairs that were executed, by outcome.", "gateway", "outcome")
	r.pluginCalls = r.counter("plugin_calls_total", "Calls to a plugin by method of the contract and result.",
		"plugin", "method", "result")
	r.pluginSeconds = r.histogram("plugin_call_duration_seconds",
		"Time that calls to a plugin took, whatever their result; streams are not counted.", callBuckets, "plugin",
		"method")
	r.faults = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "journal_faults_total",
		Help: "How often the journal's disk began to refuse events.",
	})
	r.registry.MustRegister(r.faults, newCollector(read, r.causes))
	return r
}

func (r *Recorder) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	r.registry.MustRegister(v)
	return v
}

func (r *Recorder) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets: buckets,
	}, labels)
	r.registry.MustRegister(v)
	return v
}

// Handler answers a scrape in the text format.
func (r *Recorder) Handler() http.Handler {
	return promhttp.HandlerFor(r.registry,
		promhttp.HandlerOpts{DisableCompression: true, ErrorHandling: promhttp.HTTPErrorOnError})
}

// StartEnded counts a start that ended; spawnToReady is 0 when no process was launched, or none became ready.
func (r *Recorder) StartEnded(gateway string, w observe.Waterfall, spawnToReady time.Duration) {
	r.starts.WithLabelValues(gateway, w.Outcome).Inc()
	r.startSeconds.WithLabelValues(gateway, w.Outcome).Observe(w.Total.Seconds())
	for _, st := range w.Stages {
		r.stageSeconds.WithLabelValues(gateway, r.stages.word(st.Name)).Observe(st.Took.Seconds())
	}
	if spawnToReady > 0 {
		r.spawnSeconds.WithLabelValues(gateway).Observe(spawnToReady.Seconds())
	}
}

// Restart counts a restart of the process, or one that policy suppressed.
func (r *Recorder) Restart(gateway, cause, outcome string) {
	r.restarts.WithLabelValues(gateway, r.causes.word(cause), outcome).Inc()
}

// Command counts an operator's command.
func (r *Recorder) Command(gateway, action, outcome string) {
	r.commands.WithLabelValues(gateway, action, outcome).Inc()
}

// Reconnect counts an automatic attempt that ended.
func (r *Recorder) Reconnect(gateway, kind, cause, outcome string) {
	r.reconnects.WithLabelValues(gateway, kind, r.causes.word(cause), outcome).Inc()
}

// ReconnectDelay counts the delay of an attempt that was scheduled.
func (r *Recorder) ReconnectDelay(gateway string, d time.Duration) {
	r.delays.WithLabelValues(gateway).Observe(d.Seconds())
}

// Call counts a call to a gateway.
func (r *Recorder) Call(gateway, method, result string, took time.Duration) {
	r.calls.WithLabelValues(gateway, methodWord(method), result).Inc()
	r.callSeconds.WithLabelValues(gateway).Observe(took.Seconds())
}

// SessionLost counts a session that the gateway, or the network, ended.
func (r *Recorder) SessionLost(gateway string, code int) {
	r.lost.WithLabelValues(gateway, closeWord(code)).Inc()
}

// Exit counts the end of a gateway's process. Code is nil when a signal ended it, or the cause is unknown.
func (r *Recorder) Exit(gateway string, code *int, signal string, expected bool) {
	word := "false"
	if expected {
		word = "true"
	}
	r.exits.WithLabelValues(gateway, exitWord(code), signalWord(signal), word).Inc()
}

// Repair counts a repair.
func (r *Recorder) Repair(gateway, outcome string) { r.repairs.WithLabelValues(gateway, outcome).Inc() }

// PluginCall counts a call to a plugin; method is one of the contract. Streams count without a duration: they last
// as long as a gateway.
func (r *Recorder) PluginCall(plugin, method, result string, took time.Duration, stream bool) {
	r.pluginCalls.WithLabelValues(plugin, method, result).Inc()
	if !stream {
		r.pluginSeconds.WithLabelValues(plugin, method).Observe(took.Seconds())
	}
}

// JournalFault counts the beginning of a fault.
func (r *Recorder) JournalFault() { r.faults.Inc() }
