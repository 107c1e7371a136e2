package metrics

import (
	"os"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/shirou/gopsutil/v4/process"
)

const namespace = "gatehost"

// Snapshot is what a scrape reads.
type Snapshot struct {
	Version  string
	Gateways []Gateway
	Plugins  []Plugin

	EventsPublished uint64
	EventsUnstored  uint64 // the journal never got them, or its disk refused them
	JournalFaulty   bool
	LogDropped      uint64 // lines of the host's log that could not be written
}

// Gateway is the state of one gateway. Counters start with the host process.
type Gateway struct {
	Name        string
	State       string
	Ready       bool
	Connected   bool
	Conditions  []string      // codes
	Uptime      time.Duration // 0: not running
	UncleanEnds int           // within the window of OpenClaw's crash-loop breaker

	FramesIn, FramesOut, Garbage, LateAnswers, MissedPongs uint64

	Lines     []Lines
	DroppedBy map[string]uint64 // lines, by the classifier's rule
	Repeated  uint64
	Truncated uint64
	LostLines uint64
	LostBytes uint64
	Stored    uint64 // lines, in the journal
	Unstored  uint64
}

// Lines counts lines of one level on one stream.
type Lines struct {
	Stream, Level string
	Count         uint64
}

// Plugin is the state of one plugin.
type Plugin struct {
	Name, State string
	Restarts    int
	RSS         uint64 // bytes; 0: unknown
}

// The states. Each scrape shows all of them, the present one as 1.
var (
	gatewayStates = []string{"stopped", "starting", "running", "reconnecting", "stopping", "error"}
	pluginStates  = []string{"starting", "running", "backing-off", "failed", "stopped"}
)

// maxRules bounds how many rules of classifiers are shown for all gateways together.
const maxRules = 256

// collector turns a snapshot into metrics.
type collector struct {
	read       func() Snapshot
	conditions *limiter
	rules      *limiter

	info, goroutines, fds, memory, events, unstored, faulty, logDropped *prometheus.Desc

	state, ready, connected, condition, uptime, unclean   *prometheus.Desc
	frames, garbage, late, pongs                          *prometheus.Desc
	lines, dropped, repeated, truncated, gap, bytes, kept *prometheus.Desc
	pluginState, pluginRestarts, pluginMemory             *prometheus.Desc
}

func newCollector(read func() Snapshot, codes *limiter) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &collector{
		read: read, conditions: codes, rules: newLimiter(maxRules),

		info:       desc("build_info", "Always 1; the version of the host is a label.", "version"),
		goroutines: desc("host_goroutines", "Goroutines of the host."),
		fds:        desc("host_open_fds", "Open file descriptors of the host, or handles on Windows."),
		memory:     desc("host_resident_memory_bytes", "Resident memory of the host."),
		events:     desc("events_published_total", "Events that happened, lines of output included."),
		unstored: desc("events_unstored_total",
			"Events that are not in the journal: its disk refused or was too slow, or a gateway sent too many."),
		faulty: desc("journal_faulty", "1 while the journal's disk refuses events."),
		logDropped: desc("host_log_dropped_lines_total",
			"Lines of the host's log that its terminal, pipe or file did not take."),

		state: desc("gateway_state", "1 for the state that the gateway is in.", "gateway", "state"),
		ready: desc("gateway_ready", "1 when the gateway has said, or shown by an answer, that it is ready.",
			"gateway"),
		connected: desc("gateway_connected", "1 while the session is open.", "gateway"),
		condition: desc("gateway_condition", "1 for each condition that the gateway has now.", "gateway", "code"),
		uptime: desc("gateway_uptime_seconds",
			"How long the gateway has been running: since its process began, or since the host attached.", "gateway"),
		unclean: desc("gateway_unclean_ends",
			"Ends within the last 300 s that OpenClaw counts as crashes; at 3 it holds its channels back.", "gateway"),

		frames: desc("gateway_frames_total", "WebSocket messages by direction: in, out.", "gateway", "direction"),
		garbage: desc("gateway_garbage_frames_total", "Messages of the gateway that could not be understood.",
			"gateway"),
		late: desc("gateway_late_answers_total", "Answers that no call waits for: they came too late, or twice.",
			"gateway"),
		pongs: desc("gateway_missed_pongs_total", "Pings without an answer in time.", "gateway"),

		lines: desc("gateway_output_lines_total",
			"Lines that the gateway wrote by stream and level; drop: a rule keeps them from being shown.", "gateway",
			"stream", "level"),
		dropped: desc("gateway_output_dropped_lines_total", "Lines that are not shown, by the rule that says so.",
			"gateway", "rule"),
		repeated: desc("gateway_output_repeated_lines_total", "Lines that repeat an earlier one of the same launch.",
			"gateway"),
		truncated: desc("gateway_output_truncated_lines_total", "Lines that were cut at the limit of a line.",
			"gateway"),
		gap: desc("gateway_output_lost_lines_total", "Lines that were overwritten before they could be read.",
			"gateway"),
		bytes: desc("gateway_output_lost_bytes_total",
			"Bytes of output that were overwritten before they could be read.", "gateway"),
		kept: desc("gateway_output_journal_lines_total",
			"Lines by what the journal did with them: stored, dropped.", "gateway", "outcome"),

		pluginState:    desc("plugin_state", "1 for the state that the plugin is in.", "plugin", "state"),
		pluginRestarts: desc("plugin_restarts_total", "Processes of the plugin after the first.", "plugin"),
		pluginMemory:   desc("plugin_resident_memory_bytes", "Resident memory of the plugin's process.", "plugin"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.info, c.goroutines, c.fds, c.memory, c.events, c.unstored, c.faulty, c.logDropped, c.state, c.ready, c.connected,
		c.condition, c.uptime, c.unclean, c.frames, c.garbage, c.late, c.pongs, c.lines, c.dropped, c.repeated,
		c.truncated, c.gap, c.bytes, c.kept, c.pluginState, c.pluginRestarts, c.pluginMemory,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	s := c.read()
	gauge(c.info, 1, s.Version)
	gauge(c.goroutines, float64(runtime.NumGoroutine()))
	self := process.Process{Pid: int32(os.Getpid())} //nolint:gosec // a pid
	if n, err := self.NumFDs(); err == nil {         // not on every platform
		gauge(c.fds, float64(n))
	}
	if m, err := self.MemoryInfo(); err == nil {
		gauge(c.memory, float64(m.RSS))
	}
	count(c.events, s.EventsPublished)
	count(c.unstored, s.EventsUnstored)
	gauge(c.faulty, number(s.JournalFaulty))
	count(c.logDropped, s.LogDropped)
	for _, g := range s.Gateways {
		c.gateway(g, gauge, count)
	}
	for _, p := range s.Plugins {
		for _, state := range pluginStates {
			gauge(c.pluginState, number(p.State == state), p.Name, state)
		}
		count(c.pluginRestarts, uint64(max(p.Restarts, 0)), p.Name) //nolint:gosec // not negative
		if p.RSS > 0 {
			gauge(c.pluginMemory, float64(p.RSS), p.Name)
		}
	}
}

type (
	gaugeFunc func(*prometheus.Desc, float64, ...string)
	countFunc func(*prometheus.Desc, uint64, ...string)
)

func (c *collector) gateway(g Gateway, gauge gaugeFunc, count countFunc) {
	for _, state := range gatewayStates {
		gauge(c.state, number(g.State == state), g.Name, state)
	}
	gauge(c.ready, number(g.Ready), g.Name)
	gauge(c.connected, number(g.Connected), g.Name)
	for code := range c.sums(c.conditions, g.Conditions) {
		gauge(c.condition, 1, g.Name, code)
	}
	gauge(c.uptime, g.Uptime.Seconds(), g.Name)
	gauge(c.unclean, float64(g.UncleanEnds), g.Name)

	count(c.frames, g.FramesIn, g.Name, "in")
	count(c.frames, g.FramesOut, g.Name, "out")
	count(c.garbage, g.Garbage, g.Name)
	count(c.late, g.LateAnswers, g.Name)
	count(c.pongs, g.MissedPongs, g.Name)

	for _, l := range g.Lines {
		count(c.lines, l.Count, g.Name, l.Stream, l.Level)
	}
	byRule := map[string]uint64{}
	for rule, n := range g.DroppedBy {
		byRule[c.rules.word(rule)] += n
	}
	for rule, n := range byRule {
		count(c.dropped, n, g.Name, rule)
	}
	count(c.repeated, g.Repeated, g.Name)
	count(c.truncated, g.Truncated, g.Name)
	count(c.gap, g.LostLines, g.Name)
	count(c.bytes, g.LostBytes, g.Name)
	count(c.kept, g.Stored, g.Name, "stored")
	count(c.kept, g.Unstored, g.Name, "dropped")
}

// sums merges equal words: two metrics with the same labels would break the scrape.
func (c *collector) sums(l *limiter, values []string) map[string]bool {
	out := map[string]bool{}
	for _, v := range values {
		out[l.word(v)] = true
	}
	return out
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
