// Package health shows what one gateway can do at present, seen from outside its lifecycle (B279 to B282): whether
// it is ready, whether its router answers, the state of each of its capabilities, and what was seen last. It
// watches the session and the calls that others make, and makes one call by itself: until the gateway is ready, it
// checks from time to time whether the router answers. It decides nothing: a slow capability degrades itself only,
// and readiness is no condition for running.
//
// Texts of errors may hold secrets. The package stores only their category (B276, T087).
package health
