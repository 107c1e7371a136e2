// Package metrics shows what the host does as Prometheus metrics: it counts facts as it is told of them, and reads
// everything else at each scrape. It has a registry of its own and decides nothing.
//
// Every label is bounded: names of gateways and plugins come from config.toml, words come from closed lists, and
// what comes from outside (codes of doctors, rules of classifiers) passes a limiter. No label ever holds text that
// a gateway or a person wrote.
package metrics
