// Package view puts what the host knows into the words of the control API. It owns no state: its functions are pure,
// values in, values out. It must not import engine, gateway or anything that does I/O.
package view
