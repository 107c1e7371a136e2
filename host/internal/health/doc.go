// Package health is what one gateway can do at present, seen from outside its lifecycle (B279 to B282): whether it is ready, whether its
// router answers, how each of its capabilities does, and what was seen last. It watches the session and the calls that are made anyway,
// and asks one thing by itself: until the gateway is ready, now and then, whether its router answers. It decides nothing: a slow
// capability degrades itself only, and readiness is no condition for running.
//
// Texts of errors may hold secrets. Only a category of them is kept (B276, T087).
package health
