// Package openclawdoctor knows OpenClaw's gateway: what its lines of output mean (kind classifier), what is wrong with
// one that does not run and what would repair it (kind doctor). Measured behaviour it builds on: OpenClaw 2026.3.13,
// 2026.5.27 and 2026.9.6; the patterns are those of docs/behaviour.md §14 and §19.
//
// It proposes only: every step of a plan is executed by the host, so the package needs no secret and no right to write.
// It imports nothing of ours but shared/*.
package openclawdoctor
