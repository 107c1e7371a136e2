// Package view puts what the host knows into the words of the control API. Its functions are pure: values in, values out.
package view
