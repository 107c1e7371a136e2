// Package metrics shows what the host does as Prometheus metrics: facts are counted as they are told, everything else is read when
// somebody scrapes. It has a registry of its own, knows no other room, and decides nothing.
//
// Every label is bounded: names of gateways and plugins come from config.toml, words come from closed lists, and what comes from
// outside (codes of doctors, rules of classifiers) passes a limiter. No label ever holds text that a gateway or a person wrote.
package metrics
